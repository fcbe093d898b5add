-- Operator control: whether a batch is paused or being aborted, and who asked for it, when and why.

ALTER TABLE batches
    DROP CONSTRAINT batches_state_check,
    ADD CONSTRAINT batches_state_check CHECK (
        state IN ('open', 'frozen', 'running', 'closed', 'aborted', 'out_of_balance')
    ),
    ADD COLUMN is_paused boolean NOT NULL DEFAULT false,
    ADD COLUMN is_aborting boolean NOT NULL DEFAULT false,
    ADD COLUMN action_no integer NOT NULL DEFAULT 0,
    ADD CONSTRAINT batches_control_check CHECK (NOT (is_paused AND is_aborting)),
    -- A pause does not change the stored state, so everything that works on running batches works on paused ones too.
    -- This is the state that users see.
    ADD COLUMN shown_state text GENERATED ALWAYS AS (
        CASE WHEN state = 'running' AND is_paused THEN 'paused' ELSE state END
    ) VIRTUAL;

-- An aborted batch is pruned like a closed one, once its held items have been rerun.
DROP INDEX batches_unpruned;
CREATE INDEX batches_unpruned ON batches (closed_at) WHERE state IN ('closed', 'aborted') AND pruned_at IS NULL;

-- One row for each action that changed something, numbered from 1 in each batch.
CREATE TABLE control_actions (
    batch_no integer NOT NULL REFERENCES batches,
    action_no integer NOT NULL CHECK (action_no > 0),
    action text COLLATE "C" NOT NULL CHECK (action IN ('pause', 'resume', 'abort', 'window')),
    window_size integer CHECK (window_size > 0),
    requested_by text NOT NULL,
    reason text,
    stored_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (batch_no, action_no),
    CHECK ((action = 'window') = (window_size IS NOT NULL))
);
