-- Conflicts: offers of an order whose live item has another payload.
--
-- Their batch counts them. This table keeps an order's first conflicting offer to each batch, for `settle order`. A
-- later one to the same batch is only counted.
CREATE TABLE conflicts (
    order_id text COLLATE "C" NOT NULL,
    batch_no integer NOT NULL,
    account_id text COLLATE "C" NOT NULL,
    amount_minor bigint NOT NULL,
    currency text COLLATE "C" NOT NULL,
    offered_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (order_id, batch_no)
);
