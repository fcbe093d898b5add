-- Kafka: batches of orders that were announced there, and the time when each chunk's latest step was stored.

ALTER TABLE batches
    DROP CONSTRAINT batches_source_check,
    ADD CONSTRAINT batches_source_check CHECK (source IN ('kafka', 'schedule', 'manual', 'rerun'));

-- Intake waits while the backlog is large. A batch that has stopped storing steps is stuck and must not make it wait.
-- The column is null until the first step. It has no index, so a step's update stays on its page (HOT).
ALTER TABLE chunk_states ADD COLUMN stored_at timestamptz;
