-- Read a batch's control state, the combined effect of its actions.
SELECT
    is_paused,
    is_aborting,
    coalesce(
        (
            SELECT action.window_size FROM control_actions AS action
            WHERE action.batch_no = batches.batch_no AND action.action = 'window'
            ORDER BY action_no DESC LIMIT 1
        ),
        window_size
    ) AS window,
    action_no,
    EXISTS (
        SELECT FROM control_actions AS action WHERE action.batch_no = batches.batch_no AND action.action = 'resume'
    ) AS is_resumed,
    CASE WHEN is_paused OR is_aborting THEN (
        SELECT reason FROM control_actions AS action
        WHERE action.batch_no = batches.batch_no AND action.action IN ('pause', 'abort')
        ORDER BY action_no DESC LIMIT 1
    ) END AS reason
FROM batches
WHERE batch_id = $1
