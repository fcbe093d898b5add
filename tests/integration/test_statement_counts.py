"""A chunk and an order cost exactly these statements and rows, on a machine of any speed.

A change here is a decision, not a repair of the test. See docs/explanation/performance.md.
"""

from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from database.pools import Pool
from domain import limits
from schemas.chunks import ChunkKey
from schemas.ledger import CreditRequest
from settling.balancing import check_balance, close_batch
from settling.freezing import freeze_overdue_orders
from settling.reporting import fetch_report
from settling.systems import Systems
from tests.support.settlements import CALENDAR, freeze, opening_of, seed_orders
from tests.support.steps import credit, settle_at_once, validate

ROOT = Path(__file__).parents[2]
TABLES = {
    "order_center": ("unacknowledged_orders",),
    "fund_platform": ("credit_answers", "postings", "journal_entries"),
    "settlement_store": (
        "items",
        "claims",
        "earlier_items",
        "exception_items",
        "chunk_states",
        "outbox",
        "chunk_totals",
        "planned_totals",
    ),
}
ORDER_COUNT = 60
CHUNK_SIZE = 20
VALIDATION = [
    "fetch_chunk",
    "fetch_pending_items",
    "fetch_records",
    "lock_chunk",
    "set_chunk_state",
    "store_reject_totals",
]
CREDITING = [
    "fetch_chunk",
    "fetch_pending_items",
    "fetch_batch",
    "post_new_credits",
    "lock_chunk",
    "store_outbox_row",
    "set_chunk_state",
    "store_chunk_totals",
]
AT_ONCE = [*VALIDATION, *CREDITING[CREDITING.index("fetch_batch") :]]
FREEZING = [
    "queue_to_open",
    "open_batch",
    "fetch_unclosed_batches",
    "fetch_batch",
    "fetch_overdue_slice",
    "fetch_overdue_slice",
    "append_new_orders",
    "acknowledge",
    "lock_batch",
    "store_chunks",
    "set_batch_frozen",
]


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the statements that run from now on, in the order in which they end.

    The driver's own queries are included. It asks for an array's type once per connection, which takes as long as the
    other small statements of a chunk together.
    """
    told: list[str] = []

    async def log_queries(connection: Any) -> None:
        connection.add_query_logger(lambda query: _tell(told, query.query))

    monkeypatch.setattr(asyncpg, "create_pool", partial(asyncpg.create_pool, init=log_queries))
    return told


def _tell(told: list[str], query: str) -> None:
    told.append(NAME_BY_QUERY.get(query) or query.split(" ")[0].rstrip(";"))


def work_of(statements: list[str]) -> list[str]:
    """Return the statements except those that begin, set up and end transactions."""
    return [each for each in statements if each not in ("BEGIN", "SET", "COMMIT")]


def transactions_of(statements: list[str]) -> tuple[int, int]:
    """Return how many transactions were begun, and how many of them look up tables by index alone."""
    return statements.count("BEGIN"), statements.count("SET")


NAME_BY_QUERY = {
    file.read_text(): file.stem for package in TABLES for file in (ROOT / package / "postgres" / "sql").glob("*.sql")
}


async def test_freezing_and_settling_run_these_statements_and_no_other(
    statements: list[str], systems: Systems, batch_id: str
) -> None:
    store = systems.store
    opening = opening_of(batch_id, chunk_size=CHUNK_SIZE, window=1)
    await seed_orders(systems, ORDER_COUNT, bad_rate=0)
    await store.filling.open_batch(opening)
    statements.clear()
    await freeze_overdue_orders(systems, opening, CALENDAR, after=None, on_slice=lambda _cursor: None)
    assert Counter(work_of(statements)) == Counter(FREEZING), statements
    assert transactions_of(statements) == (5, 3)
    await store.batches.set_running(batch_id)
    assert opening.cutoff_at
    for chunk_index in range(ORDER_COUNT // CHUNK_SIZE):
        ref = ChunkKey(batch_id, chunk_index)
        statements.clear()
        if chunk_index:
            await settle_at_once(systems, ref)
            assert work_of(statements) == AT_ONCE, statements
            assert transactions_of(statements) == (4, 2)
        else:
            await validate(systems, ref)
            assert work_of(statements) == VALIDATION, statements
            assert transactions_of(statements) == (2, 1)
            statements.clear()
            await credit(systems, ref)
            assert work_of(statements) == CREDITING, statements
            assert transactions_of(statements) == (2, 1)


async def test_the_driver_looks_up_no_type_for_a_chunk_with_rejects(
    statements: list[str], systems: Systems, batch_id: str
) -> None:
    store = systems.store
    opening = opening_of(batch_id, chunk_size=CHUNK_SIZE, window=1)
    await seed_orders(systems, ORDER_COUNT, bad_rate=0.5)
    await freeze(systems, opening)
    await store.batches.set_running(batch_id)
    assert opening.cutoff_at
    ref = ChunkKey(batch_id, 0)
    statements.clear()
    await settle_at_once(systems, ref)
    assert {"store_exceptions", "release_claims"} < set(statements)
    assert set(work_of(statements)) <= set(NAME_BY_QUERY.values())


async def test_an_order_costs_these_rows_and_a_chunk_those(
    pools: dict[str, Pool], systems: Systems, batch_id: str
) -> None:
    store = systems.store
    opening = opening_of(batch_id, chunk_size=CHUNK_SIZE, window=1)
    seeded = await seed_orders(systems, ORDER_COUNT, bad_rate=0)
    await freeze_overdue_orders(systems, opening, CALENDAR, after=None, on_slice=lambda _cursor: None)
    await store.batches.set_running(batch_id)
    assert opening.cutoff_at
    chunk_count = ORDER_COUNT // CHUNK_SIZE
    currency_counts = Counter[int]()
    for chunk_index in range(chunk_count):
        ref = ChunkKey(batch_id, chunk_index)
        totals = await settle_at_once(systems, ref)
        currency_counts[chunk_index] = len(totals.settled.amount_minor)
    rows = {
        (package, table): await pool.fetchval(f"SELECT count(*) FROM {table}")
        for package, pool in pools.items()
        for table in TABLES[package]
    }
    per_currency = currency_counts.total()
    assert rows == {
        ("order_center", "unacknowledged_orders"): 0,
        ("settlement_store", "items"): ORDER_COUNT,
        ("settlement_store", "claims"): ORDER_COUNT,
        ("settlement_store", "earlier_items"): 0,
        ("settlement_store", "exception_items"): 0,
        ("settlement_store", "chunk_states"): chunk_count,
        ("settlement_store", "outbox"): chunk_count,
        ("settlement_store", "chunk_totals"): per_currency,
        ("settlement_store", "planned_totals"): len(seeded.planned.amount_minor),
        ("fund_platform", "credit_answers"): ORDER_COUNT,
        ("fund_platform", "postings"): ORDER_COUNT + per_currency,
        ("fund_platform", "journal_entries"): chunk_count,
    }


async def test_the_balance_check_reads_each_slice_once(
    statements: list[str], systems: Systems, batch_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = systems.store
    opening = opening_of(batch_id, chunk_size=CHUNK_SIZE, window=1)
    await seed_orders(systems, ORDER_COUNT, bad_rate=0)
    await freeze_overdue_orders(systems, opening, CALENDAR, after=None, on_slice=lambda _cursor: None)
    monkeypatch.setattr(limits, "BALANCE_SLICE_ITEM_COUNT", CHUNK_SIZE)
    statements.clear()
    await check_balance(store, systems.fund_platform, batch_id)
    slice_count = ORDER_COUNT // CHUNK_SIZE
    assert Counter(statements)["fetch_item_groups"] == slice_count
    assert Counter(statements)["fetch_credit_totals"] == slice_count
    assert transactions_of(statements) == (slice_count, slice_count)


async def test_a_closed_batchs_report_is_read_and_its_items_are_not_summed_again(
    statements: list[str], systems: Systems, batch_id: str
) -> None:
    opening = opening_of(batch_id, chunk_size=ORDER_COUNT, window=1)
    await seed_orders(systems, ORDER_COUNT, bad_rate=0.5)
    await freeze(systems, opening)
    await systems.store.batches.set_running(batch_id)
    assert opening.cutoff_at
    await settle_at_once(systems, ChunkKey(batch_id, 0))
    statements.clear()
    await close_batch(systems.store, systems.fund_platform, batch_id)
    assert work_of(statements)[-3:] == ["set_batch_final", "fetch_batch", "keep_report"]
    statements.clear()
    report = await fetch_report(systems.store, systems.fund_platform, batch_id)
    assert report.rejected.order_count == ORDER_COUNT // 2
    slices = statements.count("fetch_credit_totals")  # one for each outcome and currency of the exception items
    assert transactions_of(statements) == (2 + slices, 2 + slices)
    assert Counter(work_of(statements)) == Counter(
        ["fetch_kept_reports"] * 2
        + ["fetch_batch", "fetch_later_item_groups"] * 2
        + ["fetch_credit_totals"] * slices
        + ["fetch_rerun_ids"]
    )


async def test_withdrawing_sums_what_it_withdrew_in_two_statements(statements: list[str], systems: Systems) -> None:
    statements.clear()
    await systems.fund_platform.credits.withdraw_credits("a test", [CreditRequest("k", 1, "a", 100, "USD")])
    assert work_of(statements) == ["withdraw_credits", "fetch_credit_totals"]
    assert transactions_of(statements) == (1, 1)
