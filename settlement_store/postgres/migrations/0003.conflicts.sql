-- Conflicts: what was offered for an order while its live item had another payload.
--
-- They are counted on their batch. Here each is kept for the person who asks what became of the order: the first offer
-- to a batch; a later one to the same batch is only counted.
CREATE TABLE conflicts (
    order_id text COLLATE "C" NOT NULL,
    batch_no integer NOT NULL,
    account_id text COLLATE "C" NOT NULL,
    amount_minor bigint NOT NULL,
    currency text COLLATE "C" NOT NULL,
    offered_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (order_id, batch_no)
);
