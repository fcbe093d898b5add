"""No hot statement of the settlement store scans a big table or reads more than it needs, whatever the statistics."""

import json
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest

from database.columns import integer_column, text_column
from database.pools import open_pool
from domain import limits
from runtime.stack_state import StackState
from schemas.items import ExceptionItem
from schemas.wire.reasons import Outcome, ReasonCode
from tests.support.databases import cloned_database, name_of
from tests.support.plans import executed_nodes, read_row_count

CUTOFF = datetime(2026, 11, 22, tzinfo=UTC)
ITEM_COUNT = 200_000
SMALL_CHUNK_SIZE = 10
CHUNK_COUNT = ITEM_COUNT // SMALL_CHUNK_SIZE + ITEM_COUNT // limits.CHUNK_SIZE_DEFAULT
EXCEPTION_EVERY = 20
ORDER_LIFE_READ_COUNT = 2  # an order's item and its earlier item
ROW_COUNT_MIN = 2_000  # a harmless number of rows for any call: all rows of a few chunks, several times
READS_ALL_CHUNKS = {
    "fetch_backlog_order_count",
    "fetch_outcome_totals",
    "fetch_progress",
    "set_batch_final",
}  # they read a whole batch, which may be most of their tables
BIG_TABLES = {
    "items",
    "claims",
    "exception_items",
    "chunk_states",
    "chunk_totals",
    "earlier_items",
    "conflicts",
    "pruned_items",
    "outbox",
}
ALL_BUCKETS = 2**limits.RESULT_BUCKET_COUNT - 1
OUTBOX_HALF_DELIVERED_COUNT = 100  # the first rows, whose other half waits for a relay that is gone
AUDIT_PLACES = ("big-000100000", "pruned-000100000", "small-000199990")
# Statements of reports and pruning, which read a batch's exception items, and of the audit, which reads everything.
COLD = ("fetch_reason_counts", "fetch_retired_batches", "break_")
HOT_SQL_NAMES = [
    path.stem for path in Path("settlement_store/postgres/sql").glob("*.sql") if not path.stem.startswith(COLD)
]

# There are a batch of many small chunks, one of few big chunks, a pruned one, and one to append to. Every twentieth
# item is an exception: either rejected and released, or held with an earlier item and a conflicting offer. The orders'
# ids are in another order than their items.
FILL = """
    INSERT INTO batches (
        batch_id, source, state, business_date, cutoff_at, chunk_size, window_size, item_count, closed_at, pruned_at
    )
    SELECT
        %(prefix)s || name, 'manual', state, '2026-11-22', '2026-11-22Z', chunk_size, 8, item_count,
        CASE state WHEN 'closed' THEN now() END, CASE name WHEN 'pruned' THEN now() END
    FROM (VALUES
        ('small', 'running', %(small)s, %(count)s),
        ('big', 'closed', %(big)s, %(count)s),
        ('pruned', 'closed', %(big)s, %(count)s),
        ('open', 'open', %(big)s, 0)
    ) AS batch (name, state, chunk_size, item_count);

    INSERT INTO items (batch_no, item_no, claim_no, amount_minor, order_id, account_id, currency)
    SELECT
        batch_no, n, 1, 100,
        batch_id || '-' || lpad((n::bigint * 7919 %% %(count)s)::text, 9, '0'), 'A' || n %% 1000, 'USD'
    FROM batches CROSS JOIN generate_series(0, %(count)s - 1) AS n
    WHERE starts_with(batch_id, %(prefix)s) AND item_count > 0 AND pruned_at IS NULL;

    INSERT INTO pruned_items (order_id, claim_no, batch_no, item_no, amount_minor, account_id, currency, outcome)
    SELECT
        batch_id || '-' || lpad((n::bigint * 7919 %% %(count)s)::text, 9, '0'), 1, batch_no, n, 100,
        'A' || n %% 1000, 'USD', 'settled'
    FROM batches CROSS JOIN generate_series(0, %(count)s - 1) AS n
    WHERE starts_with(batch_id, %(prefix)s) AND pruned_at IS NOT NULL;

    INSERT INTO claims (order_id, batch_no, item_no, claim_no, is_held)
    SELECT order_id, batch_no, item_no, 1, pruned_outcome IS NOT NULL OR item_no %% (%(every)s * 2) <> 0
    FROM all_items
    WHERE starts_with(order_id, %(prefix)s);

    INSERT INTO chunk_states (batch_no, chunk_index, item_start, item_end, state)
    SELECT batch_no, c, c * chunk_size, (c + 1) * chunk_size, CASE WHEN c %% 2 = 0 THEN 'closed' ELSE 'validated' END
    FROM batches CROSS JOIN generate_series(0, item_count / chunk_size - 1) AS c
    WHERE starts_with(batch_id, %(prefix)s) AND item_count > 0 AND pruned_at IS NULL;

    INSERT INTO exception_items (batch_no, item_no, outcome, reason_code)
    SELECT
        batch_no, item_no,
        CASE WHEN item_no %% (%(every)s * 2) = 0 THEN 'rejected' ELSE 'held' END,
        CASE WHEN item_no %% (%(every)s * 2) = 0 THEN 'ORDER_DISPUTED' ELSE 'PAYLOAD_CONFLICT' END
    FROM items
    WHERE starts_with(order_id, %(prefix)s) AND item_no %% %(every)s = 0;

    -- Those of batches before.
    INSERT INTO exception_items (batch_no, item_no, outcome, reason_code)
    SELECT -batch_no, n, 'rejected', 'ORDER_DISPUTED'
    FROM batches CROSS JOIN generate_series(0, %(count)s - 1) AS n
    WHERE batch_id = %(prefix)s || 'small';

    INSERT INTO earlier_items (order_id, claim_no, batch_no, item_no)
    SELECT order_id, 0, batch_no, item_no FROM items
    WHERE starts_with(order_id, %(prefix)s) AND item_no %% %(every)s = 0;

    INSERT INTO conflicts (order_id, batch_no, account_id, amount_minor, currency)
    SELECT order_id, batch_no, account_id, 101, currency FROM items
    WHERE starts_with(order_id, %(prefix)s) AND item_no %% %(every)s = 0;

    INSERT INTO outbox (batch_no, item_start, item_end, step, delivered_buckets)
    SELECT
        batch_no, item_start, item_end, chunk_states.state,
        CASE WHEN chunk_index < %(half_delivered)s AND chunk_size = %(small)s THEN 255 ELSE 0 END
    FROM chunk_states JOIN batches USING (batch_no)
    WHERE starts_with(batch_id, %(prefix)s)
    ORDER BY batch_no, chunk_index;

    INSERT INTO chunk_totals (batch_no, chunk_index, outcome, currency, order_count, amount_minor)
    SELECT batch_no, chunk_index, outcome, currency, count(*), sum(amount_minor)
    FROM item_outcomes
    WHERE starts_with(batch_id, %(prefix)s) AND outcome <> 'pending' AND NOT is_pruned
    GROUP BY batch_no, chunk_index, outcome, currency;
"""


class Filled(NamedTuple):
    """A database, the prefixes of its newest batches' ids, and the batches' numbers."""

    url: str
    prefix: str
    small: int
    big: int
    open: int
    small_chunk_size: int
    stored_at: datetime


def connect(url: str) -> psycopg.Connection[Any]:
    options = "-c search_path=settlement"
    return psycopg.connect(url, autocommit=True, cursor_factory=psycopg.ClientCursor, options=options)


def fill(connection: psycopg.Connection[Any], prefix: str, small_chunk_size: int) -> None:
    sizes = {"small": small_chunk_size, "big": limits.CHUNK_SIZE_DEFAULT}
    counts = {"count": ITEM_COUNT, "every": EXCEPTION_EVERY, "half_delivered": OUTBOX_HALF_DELIVERED_COUNT}
    connection.execute(FILL, {"prefix": prefix, **counts, **sizes})


@contextmanager
def filled_template(stack: StackState, small_chunk_size: int) -> Iterator[str]:
    """The name of a database that was filled once and never analyzed. Cloning it is faster than filling."""
    with cloned_database(stack.database_url, "template_settlement_store") as url:
        with connect(url) as connection:
            for table in BIG_TABLES:
                connection.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
            fill(connection, "S1-", small_chunk_size)
        yield name_of(url)


@pytest.fixture(scope="module")
def template(stack: StackState) -> Iterator[str]:
    with filled_template(stack, SMALL_CHUNK_SIZE) as name:
        yield name


# With few chunks the table is so small that the planner scans it, but it must not do so for every item.
@pytest.fixture(scope="module")
def template_with_few_chunks(stack: StackState) -> Iterator[str]:
    with filled_template(stack, limits.CHUNK_SIZE_DEFAULT) as name:
        yield name


@pytest.fixture(
    scope="module",
    params=["never analyzed", "analyzed", "analyzed before twice the rows came", "analyzed, with few chunks"],
)
def filled(request: pytest.FixtureRequest, stack: StackState) -> Iterator[Filled]:
    has_few_chunks = "few chunks" in request.param
    small_chunk_size = limits.CHUNK_SIZE_DEFAULT if has_few_chunks else SMALL_CHUNK_SIZE
    template = request.getfixturevalue("template_with_few_chunks" if has_few_chunks else "template")
    with cloned_database(stack.database_url, template) as url:
        with connect(url) as connection:
            prefix = "S1-"
            if request.param == "never analyzed":
                row_counts = connection.execute(
                    "SELECT reltuples FROM pg_class WHERE relname = ANY (%s)", (list(BIG_TABLES),)
                ).fetchall()
                assert row_counts == [(-1,)] * len(BIG_TABLES)
            else:
                connection.execute("ANALYZE")
            if request.param == "analyzed before twice the rows came":
                prefix = "S2-"
                fill(connection, prefix, small_chunk_size)
            batch_nos = dict(connection.execute("SELECT batch_id, batch_no FROM batches").fetchall())
            (stored_at,) = connection.execute("SELECT max(stored_at) FROM exception_items").fetchall()[0]
        small, big, open_ = (batch_nos[prefix + name] for name in ("small", "big", "open"))
        yield Filled(url, prefix, small, big, open_, small_chunk_size, stored_at)


def offers_of(order_ids: list[str], amount_minor: int = 100) -> tuple[str, ...]:
    """Return the order arguments of an append. With another amount, known orders are conflicts."""
    count = len(order_ids)
    return (
        text_column(order_ids),
        text_column(["A1"] * count),
        integer_column([amount_minor] * count),
        text_column(["USD"] * count),
    )


def range_calls_of(filled: Filled) -> Iterator[tuple[str, tuple[Any, ...], int]]:
    """Return the calls over a chunk or a slice: name, arguments, and the number of items that each is about."""
    chunks = [(filled.small, 7_001, 70_010, 70_020)]
    chunks += [(filled.big, 27, 67_500, 67_500 + size) for size in (limits.CHUNK_SIZE_DEFAULT, limits.CHUNK_SIZE_MAX)]
    for batch_no, chunk_index, item_start, item_end in chunks:
        count = item_end - item_start
        pending = [item_no for item_no in range(item_start, item_end) if item_no % EXCEPTION_EVERY]
        for new in (pending[: len(pending) // 50 + 1], pending):
            failed = [ExceptionItem(item_no, Outcome.FAILED, ReasonCode.ACCOUNT_CLOSED) for item_no in new]
            yield "store_exceptions", (batch_no, json.dumps([each._asdict() for each in failed])), count
            yield "release_claims", (batch_no, integer_column(new)), count
        batch_id = filled.prefix + ("small" if batch_no == filled.small else "big")
        yield "fetch_pending_items", (batch_id, item_start, item_end), count
        yield "hold_pending_items", (batch_no, item_start, item_end, "OUTCOME_UNKNOWN", "a test"), count
        yield "store_chunk_totals", (batch_no, chunk_index, item_start, item_end), count
        # The chunk has no totals yet, because validation stores them once.
        yield "store_reject_totals", (batch_no, ITEM_COUNT + chunk_index, item_start, item_end), count
        yield "fetch_chunk_totals", (batch_no, chunk_index), 10
        yield "set_chunk_state", (batch_no, chunk_index, "closed"), 1
    for batch_no, chunk_size in ((filled.small, filled.small_chunk_size), (filled.big, limits.CHUNK_SIZE_DEFAULT)):
        for item_start in (0, 70_010):
            count = limits.BALANCE_SLICE_ITEM_COUNT
            yield "fetch_item_groups", (batch_no, item_start, item_start + count, chunk_size), count


def order_calls_of(filled: Filled) -> Iterator[tuple[str, tuple[Any, ...], int]]:
    """Return the calls over orders: name, arguments, and the number of orders that each is about."""
    for count in (10, limits.FREEZE_SLICE_ORDER_COUNT):
        for batch in ("small", "big", "pruned"):
            known = [f"{filled.prefix}{batch}-{n * 7919 % ITEM_COUNT:09d}" for n in range(count)]
            for order_ids in (
                known,
                [f"new-{n}" for n in range(count)],
                [*known[::2], *(f"new-{n}" for n in known[1::2])],
            ):
                for amount_minor in (100, 101):
                    yield "append_orders", (filled.open, 0, *offers_of(order_ids, amount_minor)), count
        yield "append_new_orders", (f"{filled.prefix}open", *offers_of([f"new-{n}" for n in range(count)])), count
    for count in (10, limits.AUDIT_SLICE_ORDER_COUNT):
        for after in ("", *(f"{filled.prefix}{place}" for place in AUDIT_PLACES)):
            yield "fetch_latest_items", (after, count), count


def rerun_calls_of(filled: Filled) -> Iterator[tuple[str, tuple[Any, ...], int]]:
    """Return the calls of reruns and of pruning: name, arguments, and the number of items that each is about."""
    for count in (10, limits.FREEZE_SLICE_ORDER_COUNT):
        for batch in ("small", "big", "pruned"):
            order_ids = [f"{filled.prefix}{batch}-{n * EXCEPTION_EVERY * 7919 % ITEM_COUNT:09d}" for n in range(count)]
            offers = (order_ids, [1] * count, ["A1"] * count, [70] * count, ["USD"] * count, [True] * count)
            yield "append_rerun_items", (filled.open, 0, *offers), count
        for batch_no in (filled.small, filled.big):
            for after_item_no in (-1, 150_000):
                yield "fetch_exceptions", (batch_no, after_item_no, count), count
                yield "fetch_later_item_groups", (batch_no, after_item_no, count), count
    for name in ("small", "big", "pruned"):
        batch_id = filled.prefix + name
        yield "begin_pruning", (batch_id, "{}"), 1
        yield "lock_batch_to_prune", (batch_id,), 1
        yield "fetch_kept_reports", ([batch_id],), 1
        yield "fetch_rerun_ids", (batch_id, 100), 100
    for item_start in (0, 60_000):
        chunk_start, chunk_end = item_start // filled.small_chunk_size, (item_start + 10_000) // filled.small_chunk_size
        yield "prune_chunks", (filled.small, item_start, item_start + 10_000, chunk_start, chunk_end), 10_000
        yield "prune_chunks", (filled.big, item_start, item_start + 10_000, item_start // 5_000, 2), 10_000
    yield "set_batch_pruned", (filled.big, 2, False), 1
    for rerun_of in (None, f"{filled.prefix}big"):
        rerun = (rerun_of, "held" if rerun_of else None, None)
        source = "rerun" if rerun_of else "manual"
        yield "open_batch", (f"new-{source}", source, CUTOFF.date(), CUTOFF, 10, 8, *rerun, 100, None, 60), 10
    yield "queue_to_open", (), 1
    yield "fetch_clock", (), 1


def outbox_calls_of(filled: Filled) -> Iterator[tuple[str, tuple[Any, ...], int]]:
    """Return the calls of a relay: name, arguments, and the number of rows or items that each is about."""
    chunks = [(filled.small, 70_010, 10), (filled.big, 67_500, limits.RELAY_SLICE_ITEM_COUNT)]
    for batch_no, item_start, count in chunks:
        for step in ("validated", "closed"):
            for stored_at in (filled.stored_at, CUTOFF):
                for buckets in (1, ALL_BUCKETS):
                    arguments = (batch_no, item_start, item_start + count, buckets, stored_at, step)
                    yield "fetch_outcomes", arguments, count
        yield "store_outbox_row", (filled.open, item_start, item_start + count, "closed"), 1
    for buckets in (1, 255, ALL_BUCKETS):
        yield "fetch_outbox_row", (buckets,), OUTBOX_HALF_DELIVERED_COUNT
        yield "mark_delivered", (700, buckets, "R1"), 1
        yield "delete_delivered", (700, buckets), 1
    for statement in ("give_up_buckets", "take_buckets"):
        yield statement, ("R1", []), 1
    for statement in ("remove_relay", "remove_dead_relays"):
        yield statement, ("R1",), 1
    yield "renew_relay", ("R1", 15.0), 1
    for statement in ("queue_to_lease", "fetch_leases"):
        yield statement, (), limits.RESULT_BUCKET_COUNT


@lru_cache(maxsize=1)
def calls_by_name(filled: Filled) -> dict[str, list[tuple[tuple[Any, ...], int]]]:
    calls: dict[str, list[tuple[tuple[Any, ...], int]]] = defaultdict(list)
    for name, arguments, row_count in calls_of(filled):
        calls[name].append((arguments, row_count))
    return calls


def calls_of(filled: Filled) -> Iterator[tuple[str, tuple[Any, ...], int]]:
    """Return the calls of all hot statements: name, arguments, and the number of rows that each is about."""
    yield from range_calls_of(filled)
    yield from order_calls_of(filled)
    yield from rerun_calls_of(filled)
    yield from outbox_calls_of(filled)
    for name in ("small", "big", "pruned"):
        batch_id = filled.prefix + name
        yield "fetch_item_of_order", (f"{batch_id}-000000007",), 1
        for n in (0, EXCEPTION_EVERY * 7919, 7):
            for statement in ("fetch_items_of_order", "fetch_conflicts_of_order"):
                order_id = f"{batch_id}-{n % ITEM_COUNT:09d}"
                yield statement, (order_id, limits.ORDER_LIFE_ROW_COUNT_MAX), ORDER_LIFE_READ_COUNT
        for statement in ("fetch_chunk", "lock_chunk"):
            yield statement, (batch_id, 7), 1
        for statement in ("fetch_batch", "lock_batch", "fetch_control"):
            yield statement, (batch_id,), 1
        yield "set_batch_final", (batch_id, True), CHUNK_COUNT
        yield "fetch_progress", (batch_id,), 2 * CHUNK_COUNT  # every chunk, and its totals
    for batch_no in (filled.small, filled.big, filled.open):
        for statement in ("fetch_planned_totals", "set_batch_running"):
            yield statement, (batch_no,), 10
        yield "set_batch_frozen", (batch_no, CUTOFF.date()), 1
        yield "keep_report", (batch_no, "{}"), 1
        yield "fetch_unclosed_chunks", (batch_no, -1, limits.HOLD_SLICE_CHUNK_COUNT), CHUNK_COUNT
        yield "fetch_outcome_totals", (batch_no,), CHUNK_COUNT
        yield "set_control", (batch_no, True, False, 1), 1
        yield "store_control_action", (batch_no, 1, "pause", None, "ann", "why"), 1
        yield "fetch_control_actions", (batch_no, limits.CONTROL_ACTIONS_SHOWN_MAX), 1
        yield "count_appended", (batch_no, 1, 1, 1), 1
        yield "count_conflicts", (batch_no, 1), 1
    yield "store_chunks", (filled.open, ITEM_COUNT, SMALL_CHUNK_SIZE), CHUNK_COUNT
    yield "fetch_batches", (limits.BATCH_LIST_COUNT_MAX,), limits.BATCH_LIST_COUNT_MAX
    yield "fetch_unclosed_batches", (limits.UNCLOSED_BATCH_COUNT_MAX,), limits.UNCLOSED_BATCH_COUNT_MAX
    yield "fetch_backlog_order_count", (timedelta(seconds=60),), CHUNK_COUNT
    numbers = [0, filled.open]
    for statement in ("add_credit_buckets", "lock_credit_buckets"):
        yield statement, (numbers,), 2
    yield "set_credit_buckets", (numbers, [0.0, 0.0], [0.0, 0.0]), 2
    for statement in ("fetch_offer_counts", "lock_appends_alone", "lock_appends_beside_others"):
        yield statement, (), 10


@pytest.mark.parametrize("name", HOT_SQL_NAMES)
async def test_no_hot_statement_scans_a_big_table_or_reads_more_rows_than_it_is_about(
    name: str, filled: Filled
) -> None:
    calls = calls_by_name(filled)[name]
    assert calls
    chunks_may_be_scanned = name in READS_ALL_CHUNKS or filled.small_chunk_size != SMALL_CHUNK_SIZE
    big_tables = BIG_TABLES - ({"chunk_states", "chunk_totals", "outbox"} if chunks_may_be_scanned else set())
    pool = await open_pool(filled.url, schema="settlement", application_name="tests")
    async with pool, pool.acquire() as connection:
        for arguments, row_count in calls:
            nodes = await executed_nodes(connection, "settlement_store.postgres", name, arguments)
            for node in nodes:
                if node.get("Relation Name") == "batches":
                    continue  # so few rows here that scanning them beats an index
                assert node["Node Type"] != "Seq Scan" or node["Relation Name"] not in big_tables, nodes
                # Twice, because earlier calls that were rolled back left index entries behind.
                assert read_row_count(node) <= max(2 * row_count, ROW_COUNT_MIN), (node, nodes)
