"""No hot statement of the Fund Platform scans a big table or reads more than it needs, whatever the statistics."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from database.columns import integer_column, text_column
from database.pools import open_pool
from domain import limits
from runtime.stack_state import StackState
from tests.support.databases import cloned_database, name_of
from tests.support.plans import executed_nodes, read_row_count

ROW_COUNT = 200_000
ENTRY_COUNT = ROW_COUNT // 2500  # per filling; there are at most two, and a slice of credits may read all entries
BIG_TABLES = {"accounts", "credit_answers", "postings"}
HOT_SQL_NAMES = [
    path.stem for path in Path("fund_platform/postgres/sql").glob("*.sql") if path.stem != "fetch_ledger_breaks"
]
EXTRA_ROW_COUNT = (
    1  # the funding account's posting of a call in one currency, or the row after a slice, which ends its last group
)

# The ids of accounts and credits are in another order than their rows, and on pages in a third order.
FILL = """
    INSERT INTO fund_platform.accounts (account_id, currency)
    SELECT %(prefix)s || lpad((n::bigint * 7919 %% %(count)s)::text, 9, '0'), 'USD'
    FROM generate_series(1, %(count)s) AS n;
    INSERT INTO fund_platform.journal_entries (entry_id, reference)
    SELECT nextval('fund_platform.journal_entry_ids'), 'filled' FROM generate_series(1, %(entry_count)s) AS n;
    INSERT INTO fund_platform.credit_answers
    SELECT 'credit:' || account_id, 1, 'created', account_id, 100, 'USD'
    FROM fund_platform.accounts WHERE account_id LIKE %(prefix)s || '%%';
    INSERT INTO fund_platform.postings
    SELECT 1 + (row_number() OVER () - 1) * %(entry_count)s / %(count)s, account_id, 100, 'USD', 'credit:' || account_id
    FROM fund_platform.accounts WHERE account_id LIKE %(prefix)s || '%%';
"""


def connect(url: str) -> psycopg.Connection[Any]:
    return psycopg.connect(url, autocommit=True, cursor_factory=psycopg.ClientCursor)


@pytest.fixture(scope="module")
def template(stack: StackState) -> Iterator[str]:
    """The name of a database that was filled once and never analyzed. Cloning it is faster than filling."""
    with cloned_database(stack.database_url, "template_fund_platform") as url:
        with connect(url) as connection:
            for table in BIG_TABLES:
                connection.execute(f"ALTER TABLE fund_platform.{table} SET (autovacuum_enabled = off)")
            connection.execute(FILL, {"prefix": "S1-", "count": ROW_COUNT, "entry_count": ENTRY_COUNT})
        yield name_of(url)


@pytest.fixture(scope="module", params=["never analyzed", "analyzed", "analyzed before twice the rows came"])
def filled(request: pytest.FixtureRequest, stack: StackState, template: str) -> Iterator[tuple[str, str]]:
    """Yield a database's URL and the prefix of its newest accounts' ids."""
    with cloned_database(stack.database_url, template) as url:
        with connect(url) as connection:
            if request.param == "never analyzed":
                row_counts = connection.execute(
                    "SELECT reltuples FROM pg_class WHERE relname = ANY (%s)", (list(BIG_TABLES),)
                ).fetchall()
                assert row_counts == [(-1,)] * len(BIG_TABLES)
            else:
                connection.execute("ANALYZE")
            if request.param == "analyzed before twice the rows came":
                connection.execute(FILL, {"prefix": "S2-", "count": ROW_COUNT, "entry_count": ENTRY_COUNT})
        yield url, "S2-" if request.param == "analyzed before twice the rows came" else "S1-"


def account_ids_of(prefix: str, count: int) -> list[str]:
    """Return ids from all over the table. Every fifth is one of twenty hot accounts."""
    return [f"{prefix}{(n % 20 if n % 5 == 0 else n * 7919 * 37) % ROW_COUNT:09d}" for n in range(count)]


def calls_of(prefix: str) -> dict[str, list[tuple[tuple[Any, ...], int]]]:
    """Return each statement's calls: the arguments, and the number of rows that the call is about."""
    slice_size = limits.AUDIT_SLICE_ORDER_COUNT
    calls: dict[str, list[tuple[tuple[Any, ...], int]]] = {
        "open_accounts": [
            ((account_ids_of(ids, limits.LOAD_ROW_COUNT), ["USD"] * limits.LOAD_ROW_COUNT), limits.LOAD_ROW_COUNT)
            for ids in (prefix, "new-")
        ],
        "fetch_account": [((f"{prefix}000000007",), 1)],
        "close_account": [((f"{prefix}000000007",), 1)],
        "reopen_account": [((f"{prefix}000000007",), 1)],
        "fetch_credits": [
            ((after, size), size) for after in ("", f"credit:{prefix}000100000") for size in (100, slice_size)
        ],
        "fetch_credit_life": [((f"credit:{prefix}{n}",), 1) for n in ("000000007", "unknown")],
        "post_new_credits": [],
        "post_credits": [],
        "refuse_credits": [],
        "withdraw_credits": [],
        "fetch_answers": [],
        "fetch_credit_totals": [],
        "fetch_credits_of": [],
    }
    for count in (10, limits.CHUNK_SIZE_DEFAULT, limits.CHUNK_SIZE_MAX):
        account_ids = account_ids_of(prefix, count)
        old_keys = [f"credit:{prefix}{n * 7919 % ROW_COUNT:09d}" for n in range(count)]
        new_keys = [f"credit:new-{n:09d}" for n in range(count)]
        payloads = (text_column(account_ids), integer_column([100] * count), text_column(["USD"] * count))
        claim_nos = integer_column([1] * count)
        calls["fetch_answers"].append(((text_column(old_keys), claim_nos, *payloads), count))
        refusals = text_column(["account_closed"] * count)
        calls["refuse_credits"].append(((text_column(old_keys), claim_nos, *payloads, refusals), count))
        calls["fetch_credit_totals"].append(((text_column(old_keys),), count))
        calls["fetch_credits_of"].append(((old_keys,), count))
        calls["post_new_credits"].append((("a test", text_column(new_keys), claim_nos, *payloads), count))
        for keys in (old_keys, new_keys, [*old_keys[::2], *new_keys[1::2]]):
            columns = (text_column(keys), claim_nos, *payloads)
            calls["post_credits"].append((("a test", *columns), count))
            calls["withdraw_credits"].append((columns, count))
    return calls


@pytest.mark.parametrize("name", HOT_SQL_NAMES)
async def test_no_hot_statement_scans_a_big_table_or_reads_more_rows_than_its_requests(
    name: str, filled: tuple[str, str]
) -> None:
    url, prefix = filled
    pool = await open_pool(url, schema="fund_platform", application_name="tests")
    async with pool, pool.acquire() as connection:
        for arguments, row_count in calls_of(prefix)[name]:
            nodes = await executed_nodes(connection, "fund_platform.postgres", name, arguments)
            for node in nodes:
                assert node["Node Type"] != "Seq Scan" or node["Relation Name"] not in BIG_TABLES, nodes
                assert read_row_count(node) <= max(row_count + EXTRA_ROW_COUNT, 2 * ENTRY_COUNT), node


async def test_the_search_for_breaks_reads_no_table_once_per_row_of_another(filled: tuple[str, str]) -> None:
    pool = await open_pool(filled[0], schema="fund_platform", application_name="tests")
    async with pool, pool.acquire() as connection:
        for node in await executed_nodes(connection, "fund_platform.postgres", "fetch_ledger_breaks", [10]):
            assert read_row_count(node) <= 3 * ROW_COUNT, node
