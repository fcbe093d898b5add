"""The settlement store in memory and on PostgreSQL."""

from collections.abc import AsyncIterator, Iterator

import pytest

from database.pools import open_pool
from runtime.stack_state import StackState
from settlement_store.port import SettlementStore
from settlement_store.postgres import PostgresSettlementStore
from tests.databases import EMPTY_SETTLEMENT_STORE, cloned_database
from tests.doubles.settlement_store import MemorySettlementStore


@pytest.fixture(scope="module")
def database(stack: StackState) -> Iterator[str]:
    """One database for all the tests here: emptying its tables is many times faster than cloning it."""
    with cloned_database(stack.database_url, "template_settlement_store") as url:
        yield url


@pytest.fixture(params=["memory", "postgres"])
def adapter_url(request: pytest.FixtureRequest) -> str | None:
    """Where the adapter keeps its data, if not in memory."""
    return request.getfixturevalue("database") if request.param == "postgres" else None


@pytest.fixture
async def store(adapter_url: str | None) -> AsyncIterator[SettlementStore]:
    if adapter_url is None:
        yield MemorySettlementStore()
        return
    async with await open_pool(adapter_url, schema="settlement", application_name="tests") as pool:
        await pool.execute(EMPTY_SETTLEMENT_STORE)
        yield PostgresSettlementStore(pool)
