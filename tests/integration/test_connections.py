"""Every connection gives up in time, whatever the statement."""

import asyncpg
import pytest

from database.pools import Pool, open_pool
from domain import limits
from tests.databases import SCHEMA_BY_PACKAGE, DatabaseUrls

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


async def test_a_statement_over_its_bound_is_ended_by_the_server(databases: DatabaseUrls) -> None:
    async with await open_pool(
        databases.settlement_store, schema="settlement", application_name="tests", statement_timeout_s=1
    ) as pool:
        with pytest.raises(asyncpg.QueryCanceledError):
            await pool.execute("SELECT pg_sleep(60)")
