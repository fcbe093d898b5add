"""Corruptions of the audit's world, and the breaks that the audit must report for each."""

from typing import NamedTuple


class Corruption(NamedTuple):
    """A change of one system's tables and the breaks that must be reported, with no others."""

    system: str
    statements: str
    breaks: set[tuple[str, str]]


def item_of(order_id: str, batch_id: str) -> str:
    """Return a condition that selects an item by its order and batch."""
    return (
        "(batch_no, item_no) = (SELECT batch_no, item_no FROM items JOIN batches USING (batch_no) "
        f"WHERE order_id = '{order_id}' AND batch_id = '{batch_id}')"
    )


def batch_is(batch_id: str) -> str:
    return f"batch_no = (SELECT batch_no FROM batches WHERE batch_id = '{batch_id}')"


def in_store(statements: str, *breaks: tuple[str, str]) -> Corruption:
    return Corruption("settlement_store", statements, set(breaks))


def in_ledger(statements: str, *breaks: tuple[str, str]) -> Corruption:
    return Corruption("fund_platform", statements, set(breaks))


ITEMS = {
    "an item is deleted": in_store(
        "DELETE FROM items WHERE order_id = 'O00'",
        ("item_missing", "O00"),
        ("item_missing", "B1"),
        ("planned_total_changed", "B1"),
        ("chunk_totals_differ", "B1.chunk-000000"),
    ),
    "the last item of an open batch is deleted": in_store(
        "DELETE FROM items WHERE order_id = 'O31'",
        ("item_missing", "O31"),
        ("item_missing", "B4"),
        ("planned_total_changed", "B4"),
    ),
    "an item is numbered anew": in_store(
        f"UPDATE items SET item_no = 99 WHERE {item_of('O14', 'B2')};"
        f"UPDATE claims SET item_no = 99 WHERE order_id = 'O14'",
        ("item_missing", "B2"),
        ("chunk_totals_differ", "B2.chunk-000000"),
    ),
    "a settled item's account is another": in_store(
        f"UPDATE items SET account_id = 'A9' WHERE {item_of('O00', 'B1')}", ("credit_differs", "O00")
    ),
    "a settled item's amount is another": in_store(
        f"UPDATE items SET amount_minor = 1001 WHERE {item_of('O00', 'B1')}",
        ("credit_differs", "O00"),
        ("planned_total_changed", "B1"),
        ("chunk_totals_differ", "B1.chunk-000000"),
    ),
    "a settled item's currency is another": in_store(
        f"UPDATE items SET currency = 'GBP' WHERE {item_of('O00', 'B1')}",
        ("credit_differs", "O00"),
        ("planned_total_changed", "B1"),
        ("chunk_totals_differ", "B1.chunk-000000"),
    ),
    "two items change places": in_store(
        "UPDATE claims SET item_no = CASE order_id WHEN 'O20' THEN 1 ELSE 0 END WHERE order_id IN ('O20', 'O21')",
        ("item_missing", "O20"),
        ("item_missing", "O21"),
    ),
    "an item's claim number is used again": in_store(
        f"UPDATE items SET claim_no = 1 WHERE {item_of('O07', 'B2')}",
        ("item_missing", "O07"),
        ("claim_no_reused", "O07"),
        ("two_live_items", "O07"),
        ("earlier_item_forgotten", "O07"),
    ),
    "an order forgets where its earlier item is": in_store(
        "DELETE FROM earlier_items WHERE order_id = 'O07'", ("earlier_item_forgotten", "O07")
    ),
    "an order forgets where its pruned item is": in_store(
        "UPDATE earlier_items SET item_no = 9 WHERE order_id = 'O40'", ("earlier_item_forgotten", "O40")
    ),
}

RERUNS = {
    "an item forgets that its order's credit may exist": in_store(
        f"UPDATE items SET inherits_unknown = NULL WHERE {item_of('O40', 'R1')}", ("unknown_forgotten", "O40")
    ),
    "an item thinks that a credit may exist of which nobody knows": in_store(
        f"UPDATE items SET inherits_unknown = true WHERE {item_of('O41', 'R1')}", ("unknown_forgotten", "O41")
    ),
    "an order whose credit may exist is rejected by a rule": in_store(
        "INSERT INTO exception_items (batch_no, item_no, outcome, reason_code) "
        f"SELECT batch_no, item_no, 'rejected', 'ORDER_DISPUTED' FROM items WHERE {item_of('O40', 'R1')};"
        "UPDATE claims SET is_held = false WHERE order_id = 'O40'",
        ("credit_of_rejected", "O40"),
        ("chunk_totals_differ", "R1.chunk-000000"),
        ("unknown_forgotten", "O40"),
    ),
}

PRUNED = {
    "a pruned item is deleted": in_store(
        "DELETE FROM pruned_items WHERE order_id = 'O50'",
        ("item_missing", "O50"),
        ("item_missing", "B6"),
        ("planned_total_changed", "B6"),
        ("chunk_totals_differ", "B6.chunk-000000"),
    ),
    "an earlier item that is pruned is deleted": in_store(
        "DELETE FROM pruned_items WHERE order_id = 'O40'",
        ("item_missing", "B5"),
        ("planned_total_changed", "B5"),
        ("chunk_totals_differ", "B5.chunk-000000"),
    ),
    "a pruned item's amount is another": in_store(
        "UPDATE pruned_items SET amount_minor = 1001 WHERE order_id = 'O50'",
        ("credit_differs", "O50"),
        ("planned_total_changed", "B6"),
        ("chunk_totals_differ", "B6.chunk-000000"),
    ),
    "a pruned item's account is another": in_store(
        "UPDATE pruned_items SET account_id = 'A9' WHERE order_id = 'O50'", ("credit_differs", "O50")
    ),
    "a pruned item's order is another": in_store(
        "UPDATE pruned_items SET order_id = 'O99' WHERE order_id = 'O50'",
        ("item_missing", "O50"),
        ("claim_missing", "O99"),
    ),
    "a pruned item's claim number is another": in_store(
        "UPDATE pruned_items SET claim_no = 2 WHERE order_id = 'O50'",
        ("item_missing", "O50"),
        ("claim_missing", "O50"),
    ),
    "a pruned settled item is made rejected": in_store(
        "UPDATE pruned_items SET (outcome, reason_code) = ('rejected', 'ORDER_DISPUTED') WHERE order_id = 'O50'",
        ("credit_of_rejected", "O50"),
        ("claim_not_released", "O50"),
        ("chunk_totals_differ", "B6.chunk-000000"),
    ),
    "a pruned rejected item is made settled": in_store(
        "UPDATE pruned_items SET (outcome, reason_code) = ('settled', NULL) WHERE order_id = 'O51'",
        ("settled_without_credit", "O51"),
        ("claim_released_early", "O51"),
        ("chunk_totals_differ", "B6.chunk-000000"),
    ),
    "a pruned rejected item has a reason for holding": in_store(
        "UPDATE pruned_items SET reason_code = 'NOT_ATTEMPTED' WHERE order_id = 'O51'", ("reason_impossible", "O51")
    ),
    "a pruned settled order's claim is released": in_store(
        "UPDATE claims SET is_held = false WHERE order_id = 'O50'", ("claim_released_early", "O50")
    ),
    "a pruned item is there as well": in_store(
        "INSERT INTO items (batch_no, item_no, claim_no, amount_minor, order_id, account_id, currency) "
        "SELECT batch_no, item_no, claim_no, amount_minor, order_id, account_id, currency "
        "FROM pruned_items WHERE order_id = 'O50'",
        ("claim_no_reused", "O50"),
        ("item_missing", "B6"),
        ("planned_total_changed", "B6"),
    ),
    "a pruned batch is said to have its chunks": in_store(
        "UPDATE batches SET pruned_chunk_count = 0 WHERE batch_id = 'B6'", ("chunk_gap", "B6.chunk-000000")
    ),
    "a batch is said to be pruned": in_store(
        "UPDATE batches SET pruned_chunk_count = 1 WHERE batch_id = 'B2'",
        ("chunk_gap", "B2.chunk-000000"),
        ("kept_report_differs", "B2"),
    ),
    "a pruned batch's report is deleted": in_store(
        f"DELETE FROM kept_reports WHERE {batch_is('B6')}", ("kept_report_differs", "B6")
    ),
    "a closed batch's report tells another state": in_store(
        f"UPDATE kept_reports SET report = replace(report, '\"closed\"', '\"aborted\"') WHERE {batch_is('B2')}",
        ("kept_report_differs", "B2"),
    ),
    "a closed batch's report tells another ledger": in_store(
        "UPDATE kept_reports SET report = jsonb_set(report::jsonb, '{ledger,amount_minor,USD}', '1')::text "
        f"WHERE {batch_is('B2')}",
        ("kept_report_differs", "B2"),
    ),
    "a batch's cutoff is set after its freezing": in_store(
        "UPDATE batches SET cutoff_at = frozen_at + interval '1 microsecond' WHERE batch_id = 'B2'",
        ("cutoff_after_freezing", "B2"),
    ),
    "a closed batch's report is deleted": in_store(
        f"DELETE FROM kept_reports WHERE {batch_is('B2')}", ("kept_report_differs", "B2")
    ),
    "a closed batch's report tells another amount": in_store(
        f"UPDATE kept_reports SET report = replace(report, '2000', '2001') WHERE {batch_is('B2')}",
        ("kept_report_differs", "B2"),
    ),
    "a kept report tells another amount": in_store(
        f"UPDATE kept_reports SET report = replace(report, '1000', '1001') WHERE {batch_is('B6')}",
        ("kept_report_differs", "B6"),
    ),
    "a kept report tells another count": in_store(
        "UPDATE kept_reports SET report = jsonb_set(report::jsonb, '{settled,order_count_by_currency,USD}', '2')::text "
        f"WHERE {batch_is('B6')}",
        ("kept_report_differs", "B6"),
    ),
    "a kept report leaves out what was settled": in_store(
        "UPDATE kept_reports SET report = jsonb_set(report::jsonb, '{settled,amount_minor}', '{}')::text "
        f"WHERE {batch_is('B6')}",
        ("kept_report_differs", "B6"),
    ),
}

OUTCOMES = {
    "a rejected item is made failed": in_store(
        f"UPDATE exception_items SET outcome = 'failed' WHERE {item_of('O02', 'B1')}",
        ("chunk_totals_differ", "B1.chunk-000000"),
        ("reason_impossible", "O02"),
    ),
    "a rejected item of a chunk not yet closed is made failed": in_store(
        f"UPDATE exception_items SET outcome = 'failed' WHERE {item_of('O22', 'B3')}",
        ("chunk_totals_differ", "B3.chunk-000001"),
        ("outcome_too_early", "O22"),
        ("reason_impossible", "O22"),
    ),
    "a rejected item of a chunk not yet closed is made one of unknown outcome": in_store(
        "UPDATE exception_items SET (outcome, reason_code) = ('held', 'OUTCOME_UNKNOWN') "
        f"WHERE {item_of('O22', 'B3')}; UPDATE claims SET is_held = true WHERE order_id = 'O22'",
        ("chunk_totals_differ", "B3.chunk-000001"),
        ("outcome_too_early", "O22"),
    ),
    "a rejected item has the reason of a failed one": in_store(
        f"UPDATE exception_items SET reason_code = 'DATA_ERROR' WHERE {item_of('O02', 'B1')}",
        ("reason_impossible", "O02"),
    ),
    "a settled item is made rejected": in_store(
        "INSERT INTO exception_items (batch_no, item_no, outcome, reason_code) "
        f"SELECT batch_no, item_no, 'rejected', 'ORDER_DISPUTED' FROM items WHERE {item_of('O00', 'B1')};"
        "UPDATE claims SET is_held = false WHERE order_id = 'O00'",
        ("credit_of_rejected", "O00"),
        ("chunk_totals_differ", "B1.chunk-000000"),
    ),
    "a rejected item is made settled": in_store(
        f"DELETE FROM exception_items WHERE {item_of('O02', 'B1')};"
        "UPDATE claims SET is_held = true WHERE order_id = 'O02'",
        ("settled_without_credit", "O02"),
        ("chunk_totals_differ", "B1.chunk-000000"),
    ),
    "a rejected item that came in again is made settled": in_store(
        f"DELETE FROM exception_items WHERE {item_of('O07', 'B1')}",
        ("two_live_items", "O07"),
        ("chunk_totals_differ", "B1.chunk-000001"),
    ),
    "a held item is made rejected": in_store(
        f"UPDATE exception_items SET outcome = 'rejected' WHERE {item_of('O09', 'B1')}",
        ("credit_of_rejected", "O09"),
        ("claim_not_released", "O09"),
        ("chunk_totals_differ", "B1.chunk-000002"),
        ("reason_impossible", "O09"),
    ),
    "an item of unknown outcome is made one not attempted": in_store(
        f"UPDATE exception_items SET reason_code = 'NOT_ATTEMPTED' WHERE {item_of('O09', 'B1')}",
        ("credit_of_unattempted", "O09"),
    ),
    "an item with its very credit is held for a conflict": in_store(
        f"UPDATE exception_items SET reason_code = 'PAYLOAD_CONFLICT' WHERE {item_of('O09', 'B1')}",
        ("conflict_unfounded", "O09"),
    ),
    "an item without a credit is held for a conflict": in_store(
        f"UPDATE exception_items SET reason_code = 'PAYLOAD_CONFLICT' WHERE {item_of('O12', 'B1')}",
        ("conflict_unfounded", "O12"),
    ),
    "a held item has a reason for rejecting": in_store(
        f"UPDATE exception_items SET reason_code = 'ORDER_DISPUTED' WHERE {item_of('O12', 'B1')}",
        ("reason_impossible", "O12"),
    ),
    "a rejected item has a reason for holding": in_store(
        f"UPDATE exception_items SET reason_code = 'OUTCOME_UNKNOWN' WHERE {item_of('O02', 'B1')}",
        ("reason_impossible", "O02"),
    ),
    "an item is rejected before its chunk is validated": in_store(
        "INSERT INTO exception_items (batch_no, item_no, outcome, reason_code) "
        f"SELECT batch_no, item_no, 'rejected', 'ORDER_DISPUTED' FROM items WHERE {item_of('O24', 'B3')};"
        "UPDATE claims SET is_held = false WHERE order_id = 'O24'",
        ("outcome_too_early", "O24"),
        ("chunk_totals_differ", "B3.chunk-000002"),
    ),
    "an item of an open batch is rejected": in_store(
        "INSERT INTO exception_items (batch_no, item_no, outcome, reason_code) "
        f"SELECT batch_no, item_no, 'rejected', 'ORDER_DISPUTED' FROM items WHERE {item_of('O30', 'B4')};"
        "UPDATE claims SET is_held = false WHERE order_id = 'O30'",
        ("outcome_too_early", "O30"),
    ),
    "an exception is without an item": in_store(
        "INSERT INTO exception_items (batch_no, item_no, outcome, reason_code) "
        "SELECT batch_no, 99, 'held', 'NOT_ATTEMPTED' FROM batches WHERE batch_id = 'B1'",
        ("exception_without_item", "B1.item-99"),
    ),
}

PLANS_AND_CHUNKS = {
    "a planned amount is changed": in_store(
        f"UPDATE planned_totals SET amount_minor = amount_minor + 1 WHERE {batch_is('B1')} AND currency = 'USD'",
        ("planned_total_changed", "B1"),
        ("kept_report_differs", "B1"),
    ),
    "a planned count is changed": in_store(
        f"UPDATE planned_totals SET order_count = order_count - 1 WHERE {batch_is('B4')}",
        ("planned_total_changed", "B4"),
    ),
    "a plan is deleted": in_store(
        f"DELETE FROM planned_totals WHERE {batch_is('B1')} AND currency = 'EUR'",
        ("planned_total_changed", "B1"),
        ("kept_report_differs", "B1"),
    ),
    "a plan is added": in_store(
        "INSERT INTO planned_totals SELECT batch_no, 'GBP', 0, 0 FROM batches WHERE batch_id = 'B2'",
        ("planned_total_changed", "B2"),
        ("kept_report_differs", "B2"),
    ),
    "the items of a batch are counted wrong": in_store(
        "UPDATE batches SET item_count = item_count - 1 WHERE batch_id = 'B4'", ("item_missing", "B4")
    ),
    "a batch is closed with pending items": in_store(
        "UPDATE batches SET state = 'closed' WHERE batch_id = 'B3'",
        ("closed_with_pending", "B3"),
        ("kept_report_differs", "B3"),
    ),
    "a chunk of a closed batch is opened again": in_store(
        f"UPDATE chunk_states SET state = 'validated' WHERE {batch_is('B2')}",
        ("closed_with_pending", "B2"),
        ("chunk_totals_differ", "B2.chunk-000000"),
    ),
    "a chunk is closed without being credited": in_store(
        f"UPDATE chunk_states SET state = 'closed' WHERE {batch_is('B3')} AND chunk_index = 2",
        ("settled_without_credit", "O24"),
        ("settled_without_credit", "O25"),
        ("chunk_totals_differ", "B3.chunk-000002"),
    ),
    "a chunk's totals have another amount": in_store(
        f"UPDATE chunk_totals SET amount_minor = 1 WHERE {batch_is('B2')}",
        ("chunk_totals_differ", "B2.chunk-000000"),
        ("kept_report_differs", "B2"),
    ),
    "a chunk's totals have another outcome": in_store(
        f"UPDATE chunk_totals SET outcome = 'failed' WHERE {batch_is('B2')}",
        ("chunk_totals_differ", "B2.chunk-000000"),
        ("kept_report_differs", "B2"),
    ),
    "a chunk's totals are deleted": in_store(
        f"DELETE FROM chunk_totals WHERE {batch_is('B3')} AND chunk_index = 1",
        ("chunk_totals_differ", "B3.chunk-000001"),
    ),
    "a chunk is deleted": in_store(
        f"DELETE FROM chunk_states WHERE {batch_is('B2')}",
        ("chunk_gap", "B2.chunk-000000"),
        ("chunk_totals_differ", "B2.chunk-000000"),
    ),
    "a chunk is cut short": in_store(
        f"UPDATE chunk_states SET item_end = item_end - 1 WHERE {batch_is('B3')} AND chunk_index = 2",
        ("chunk_gap", "B3.chunk-000002"),
    ),
    "a closed chunk is cut short": in_store(
        f"UPDATE chunk_states SET item_end = item_end - 1 WHERE {batch_is('B2')}",
        ("chunk_gap", "B2.chunk-000000"),
        ("chunk_totals_differ", "B2.chunk-000000"),
    ),
    "an open batch has a chunk": in_store(
        "INSERT INTO chunk_states SELECT batch_no, 0, 0, 2, 'planned' FROM batches WHERE batch_id = 'B4'",
        ("chunk_gap", "B4.chunk-000000"),
    ),
}

CLAIMS = {
    "a claim is deleted": in_store(
        "DELETE FROM claims WHERE order_id = 'O00'",
        ("claim_missing", "O00"),
        ("credit_without_item", "credit:O00"),
    ),
    "a pending item's claim is deleted": in_store(
        "DELETE FROM claims WHERE order_id = 'O24'", ("claim_missing", "O24")
    ),
    "a claim is moved back": in_store(
        "UPDATE claims SET (batch_no, item_no, claim_no) ="
        f" (SELECT batch_no, item_no, 1 FROM items WHERE {item_of('O07', 'B1')}) WHERE order_id = 'O07'",
        ("claim_missing", "O07"),
        ("claim_not_released", "O07"),
        ("credit_of_rejected", "O07"),
    ),
    "a rejected order's claim is kept": in_store(
        "UPDATE claims SET is_held = true WHERE order_id = 'O02'", ("claim_not_released", "O02")
    ),
    "a settled order's claim is released": in_store(
        "UPDATE claims SET is_held = false WHERE order_id = 'O00'", ("claim_released_early", "O00")
    ),
    "a held order's claim is released": in_store(
        "UPDATE claims SET is_held = false WHERE order_id = 'O05'", ("claim_released_early", "O05")
    ),
    "a pending order's claim is released": in_store(
        "UPDATE claims SET is_held = false WHERE order_id = 'O30'", ("claim_released_early", "O30")
    ),
}

POSTING = "idempotency_key = 'credit:O00'"
CREDIT = "INSERT INTO credit_answers VALUES ('{key}', 1, 'created', 'A1', 5, 'USD');" + (
    "INSERT INTO journal_entries (entry_id, reference) VALUES (-1, 'a test');"
    "INSERT INTO postings VALUES (-1, 'A1', 5, 'USD', '{key}'), (-1, 'funding:USD', -5, 'USD', NULL);"
    "UPDATE accounts SET balance_minor = balance_minor + 5 WHERE account_id = 'A1'"
)
# The first entry belongs to O05, the payload conflict. The second belongs to chunk 0 of B1, with O00 and O01.
LEDGER = {
    "a posting's amount is changed": in_ledger(
        f"UPDATE postings SET amount_minor = 1001 WHERE {POSTING}",
        ("credit_differs", "O00"),
        ("posting_differs_from_answer", "credit:O00"),
        ("unbalanced_entry", "2"),
        ("balance_off", "A1"),
    ),
    "a posting's account is changed": in_ledger(
        f"UPDATE postings SET account_id = 'closed' WHERE {POSTING}",
        ("credit_differs", "O00"),
        ("posting_differs_from_answer", "credit:O00"),
        ("balance_off", "A1"),
        ("balance_off", "closed"),
    ),
    "a posting is deleted": in_ledger(
        f"DELETE FROM postings WHERE {POSTING}",
        ("settled_without_credit", "O00"),
        ("answer_without_posting", "credit:O00"),
        ("unbalanced_entry", "2"),
        ("balance_off", "A1"),
    ),
    "a credit is deleted with all its traces": in_ledger(
        "DELETE FROM postings WHERE entry_id = 2; DELETE FROM journal_entries WHERE entry_id = 2;"
        "DELETE FROM credit_answers WHERE idempotency_key IN ('credit:O00', 'credit:O01');"
        "UPDATE accounts SET balance_minor = balance_minor - 1000 WHERE account_id = 'A1';"
        "UPDATE accounts SET balance_minor = balance_minor - 70 WHERE account_id = 'A2'",
        ("settled_without_credit", "O00"),
        ("settled_without_credit", "O01"),
    ),
    "a balance is changed": in_ledger(
        "UPDATE accounts SET balance_minor = balance_minor + 1 WHERE account_id = 'A2'", ("balance_off", "A2")
    ),
    "an order is credited twice": in_ledger(
        f"DROP INDEX postings_by_key; INSERT INTO postings SELECT * FROM postings WHERE {POSTING}",
        ("duplicate_credit", "credit:O00"),
        ("credit_differs", "O00"),
        ("unbalanced_entry", "2"),
        ("balance_off", "A1"),
    ),
    "an order that Settle does not know is credited": in_ledger(
        CREDIT.format(key="credit:O99"), ("credit_without_item", "credit:O99")
    ),
    "something that is no order is credited": in_ledger(CREDIT.format(key="O00"), ("credit_without_item", "O00")),
    "a rejected order is credited": in_ledger(CREDIT.format(key="credit:O02"), ("credit_of_rejected", "O02")),
    "an order not attempted is credited": in_ledger(CREDIT.format(key="credit:O13"), ("credit_of_unattempted", "O13")),
    "an answer is made a refusal": in_ledger(
        f"UPDATE credit_answers SET result_code = 'account_closed' WHERE {POSTING}",
        ("posting_without_answer", "credit:O00"),
    ),
    "a refusal is made an answer": in_ledger(
        "UPDATE credit_answers SET result_code = 'created' WHERE idempotency_key = 'credit:O03'",
        ("answer_without_posting", "credit:O03"),
    ),
    "an entry is deleted": in_ledger(
        "DELETE FROM journal_entries WHERE entry_id = 1",
        ("posting_without_entry", "1"),
        ("posting_without_entry", "credit:O05"),
    ),
    "an entry is added": in_ledger(
        "INSERT INTO journal_entries (entry_id, reference) VALUES (-1, 'a test')", ("entry_without_posting", "-1")
    ),
}

CORRUPTIONS = {**ITEMS, **RERUNS, **PRUNED, **OUTCOMES, **PLANS_AND_CHUNKS, **CLAIMS, **LEDGER}
