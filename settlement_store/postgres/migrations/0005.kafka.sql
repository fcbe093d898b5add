-- Kafka: batches of orders that were announced there, and when each chunk's latest step was stored.

ALTER TABLE batches
    DROP CONSTRAINT batches_source_check,
    ADD CONSTRAINT batches_source_check CHECK (source IN ('kafka', 'schedule', 'manual', 'rerun'));

-- Intake waits while much is in work; a batch that stores nothing any more is stuck, and must not keep it waiting.
-- Null until the first step. Without an index, so that a step's update stays in its page.
ALTER TABLE chunk_states ADD COLUMN stored_at timestamptz;
