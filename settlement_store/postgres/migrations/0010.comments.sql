-- A sentence on each table, kept in the database for whoever looks at it there. The reference of the docs shows them.

COMMENT ON TABLE batches IS 'One row per batch: source, state, dates, chunk size, window, thresholds and operator control.';
COMMENT ON TABLE planned_totals IS 'The plan of each batch: count and amount per currency, fixed when the batch is frozen.';
COMMENT ON TABLE items IS 'One row per order in a batch: its frozen payload and claim number. Outcomes are not stored here.';
COMMENT ON TABLE claims IS 'One row per order: its latest item, and whether that item still has the claim.';
COMMENT ON TABLE chunk_states IS 'One row per chunk: its range of items and its state.';
COMMENT ON TABLE chunk_totals IS 'Control totals of each chunk by outcome and currency, stored with its outcomes.';
COMMENT ON TABLE exception_items IS 'One row per rejected, failed or held item: its outcome, reason code and detail.';
COMMENT ON TABLE earlier_items IS 'The items that an order had before its latest one.';
COMMENT ON TABLE conflicts IS 'The first conflicting offer of each order to each batch.';
COMMENT ON TABLE pruned_items IS 'The items of pruned batches, with payload and outcome.';
COMMENT ON TABLE kept_reports IS 'The report of each closed batch, stored when it was closed, and what came since if it is pruned.';
COMMENT ON TABLE outbox IS 'One row per step whose outcomes are not delivered to Kafka yet. The row goes when they are.';
COMMENT ON TABLE relays IS 'One row per relay, and until when it is live.';
COMMENT ON TABLE relay_leases IS 'Which relay delivers which of the sixteen buckets.';
COMMENT ON TABLE control_actions IS 'Every pause, resume, abort and change of the window: who, when and why.';
COMMENT ON TABLE credit_buckets IS 'The state of each cap on credits: one row for the installation, one per capped batch.';
COMMENT ON VIEW all_items IS 'All items, pruned or not.';
COMMENT ON VIEW all_exceptions IS 'All exception items, pruned or not.';
COMMENT ON VIEW item_outcomes IS 'Every item with its outcome and reason code. Settled is derived: a closed chunk without an exception item.';
