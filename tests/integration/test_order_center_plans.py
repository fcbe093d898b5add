"""No statement of the Order Center reads more than it needs, whatever statistics the planner has."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest

from database.columns import integer_column, text_column
from database.pools import open_pool
from domain import limits
from runtime.stack_state import StackState
from tests.support.databases import cloned_database, name_of
from tests.support.plans import executed_nodes, read_row_count

ORDER_COUNT = 200_000
SQL_NAMES = [path.stem for path in Path("order_center/postgres/sql").glob("*.sql")]
FIRST_END = datetime(2025, 1, 1, tzinfo=UTC)
CUTOFF = datetime(2026, 1, 1, tzinfo=UTC)

# The orders' ends are in another order than their ids, and on pages in a third order.
FILL = """
    WITH filled AS (
        INSERT INTO order_center.orders
        SELECT
            %(prefix)s || lpad((n::bigint * 7919 %% %(count)s)::text, 9, '0'), 'A' || n %% 1000, 1000, 0, 'USD',
            'completed',
            %(first_end)s, %(first_end)s + n::bigint * 104729 %% %(count)s * interval '1 second', n
        FROM generate_series(1, %(count)s) AS n
        RETURNING order_id, after_sale_ends_at, version
    )
    INSERT INTO order_center.unacknowledged_orders SELECT order_id, after_sale_ends_at, version FROM filled
"""


class Filled(NamedTuple):
    """A database, and a place in the middle of its newest orders."""

    url: str
    prefix: str
    middle: datetime


def fill(connection: psycopg.Connection[Any], prefix: str, first_end: datetime) -> None:
    connection.execute(FILL, {"prefix": prefix, "first_end": first_end, "count": ORDER_COUNT})


@pytest.fixture(scope="module")
def template(stack: StackState) -> Iterator[str]:
    """The name of a database that was filled once and never analyzed. Cloning it is faster than filling."""
    with cloned_database(stack.database_url, "template_order_center") as url:
        with psycopg.connect(url, autocommit=True) as connection:
            for table in ("orders", "unacknowledged_orders"):
                connection.execute(f"ALTER TABLE order_center.{table} SET (autovacuum_enabled = off)")
            fill(connection, "S1-", FIRST_END)
        yield name_of(url)


@pytest.fixture(scope="module", params=["never analyzed", "analyzed", "analyzed before twice the rows came"])
def filled(request: pytest.FixtureRequest, stack: StackState, template: str) -> Iterator[Filled]:
    half = timedelta(seconds=ORDER_COUNT / 2)
    with cloned_database(stack.database_url, template) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            if request.param == "never analyzed":
                row_counts = connection.execute(
                    "SELECT reltuples FROM pg_class WHERE relname IN ('orders', 'unacknowledged_orders')"
                ).fetchall()
                assert row_counts == [(-1,), (-1,)]
            else:
                connection.execute("ANALYZE")
        if request.param == "analyzed before twice the rows came":
            newer_end = FIRST_END + timedelta(days=90)
            with psycopg.connect(url, autocommit=True) as connection:
                fill(connection, "S2-", newer_end)
            yield Filled(url, "S2-", newer_end + half)
        else:
            yield Filled(url, "S1-", FIRST_END + half)


def numbers(count: int) -> list[int]:
    return [n * 37 % ORDER_COUNT + 1 for n in range(count)]


def ids_of(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{n * 7919 % ORDER_COUNT:09d}" for n in numbers(count)]


def calls_of(filled: Filled) -> dict[str, list[tuple[tuple[Any, ...], int]]]:
    """Return each statement's calls: the arguments, and the number of orders that the call is about."""
    slice_size = limits.FREEZE_SLICE_ORDER_COUNT
    load_count = limits.LOAD_ROW_COUNT
    ids = ids_of(filled.prefix, limits.CHUNK_SIZE_MAX)
    changed = tuple([value] * load_count for value in ("A1", 1000, 1, "USD", "completed", FIRST_END, FIRST_END))
    return {
        "fetch_overdue_slice": [
            ((CUTOFF, None, None, slice_size), slice_size),
            ((CUTOFF, filled.middle, "S1-0", slice_size), slice_size),
            ((FIRST_END, None, None, slice_size), slice_size),
        ],
        "acknowledge": [
            ((text_column(ids[:count]), integer_column(numbers(count))), count) for count in (len(ids), 10)
        ],
        "fetch_records": [((text_column(ids[:count]),), count) for count in (len(ids), limits.CHUNK_SIZE_DEFAULT)],
        "fetch_order": [((order_id,), 1) for order_id in (*ids[:3], "unknown")],
        "load_records": [
            ((ids[:load_count], *changed), load_count),
            ((ids_of("new-", load_count), *changed), load_count),
        ],
    }


@pytest.mark.parametrize("name", SQL_NAMES)
async def test_no_statement_scans_a_table_or_reads_more_rows_than_its_orders(name: str, filled: Filled) -> None:
    pool = await open_pool(filled.url, schema="order_center", application_name="tests")
    async with pool, pool.acquire() as connection:
        for arguments, order_count in calls_of(filled)[name]:
            nodes = await executed_nodes(connection, "order_center.postgres", name, arguments)
            assert "Seq Scan" not in {node["Node Type"] for node in nodes}, nodes
            for node in nodes:
                assert read_row_count(node) <= order_count, node
