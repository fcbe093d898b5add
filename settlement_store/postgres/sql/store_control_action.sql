-- Keep an action with who asked for it and why.
INSERT INTO control_actions (batch_no, action_no, action, window_size, requested_by, reason)
VALUES ($1, $2, $3, $4, $5, $6)
