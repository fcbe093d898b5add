-- Read the newest actions on a batch, newest first.
SELECT requested_by, reason, action_no, action, window_size AS window, stored_at
FROM control_actions
WHERE batch_no = $1
ORDER BY action_no DESC
LIMIT $2
