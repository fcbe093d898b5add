"""Every connection gives up in time, whatever statement it runs."""

import asyncpg
import pytest

from database.migrations import _backend, _connect
from database.pools import Pool, open_pool
from domain import limits
from tests.support.databases import SCHEMA_BY_PACKAGE, DatabaseUrls

BOUNDS_S = {
    "statement_timeout": limits.STATEMENT_TIMEOUT_S,
    "lock_timeout": limits.LOCK_TIMEOUT_S,
    "idle_in_transaction_session_timeout": limits.IDLE_IN_TRANSACTION_TIMEOUT_S,
    "transaction_timeout": limits.TRANSACTION_TIMEOUT_S,
}


@pytest.mark.parametrize("package", SCHEMA_BY_PACKAGE)
@pytest.mark.parametrize(("setting", "bound_s"), BOUNDS_S.items())
async def test_no_connection_waits_for_ever(pools: dict[str, Pool], package: str, setting: str, bound_s: int) -> None:
    waits_ms = await pools[package].fetchval("SELECT setting::bigint FROM pg_settings WHERE name = $1", setting)
    assert waits_ms == bound_s * 1000


@pytest.mark.parametrize("bound", BOUNDS_S)
def test_no_migration_waits_for_ever(databases: DatabaseUrls, bound: str) -> None:
    with (
        _connect(databases.settlement_store) as connection,
        _backend(databases.settlement_store, "settlement") as backend,
    ):
        query = f"SELECT setting::bigint FROM pg_settings WHERE name = '{bound}'"
        for row in (connection.execute(query).fetchone(), backend.execute(query).fetchone()):
            assert row
            assert 0 < int(str(row[0])) <= limits.REPORT_STATEMENT_TIMEOUT_S * 1000


async def test_a_statement_over_its_bound_is_ended_by_the_server(databases: DatabaseUrls) -> None:
    async with await open_pool(
        databases.settlement_store, schema="settlement", application_name="tests", statement_timeout_s=1
    ) as pool:
        with pytest.raises(asyncpg.QueryCanceledError):
            await pool.execute("SELECT pg_sleep(60)")
