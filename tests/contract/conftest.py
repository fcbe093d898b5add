"""Fixtures that run each contract test with each adapter."""

from collections.abc import AsyncIterator, Iterator

import pytest

from database.pools import Pool, open_pool
from runtime.stack_state import StackState
from settlement_store.port import SettlementStore
from settlement_store.postgres import PostgresSettlementStore
from tests.contract.adapters import ADAPTERS
from tests.doubles.settlement_store import MemorySettlementStore
from tests.support.databases import EMPTY_SETTLEMENT_STORE, cloned_database


@pytest.fixture(scope="module")
def database(stack: StackState) -> Iterator[str]:
    """One database for all tests of a module. Emptying its tables is many times faster than cloning it."""
    with cloned_database(stack.database_url, "template_settlement_store") as url:
        yield url


@pytest.fixture(params=ADAPTERS)
def adapter(request: pytest.FixtureRequest) -> str:
    """The name of the adapter under test: the double or the real one."""
    return str(request.param)


@pytest.fixture
async def store_pool(database: str) -> AsyncIterator[Pool]:
    """A connection pool for the settlement store's database, for tests that bypass the port."""
    async with await open_pool(database, schema="settlement", application_name="tests") as pool:
        await pool.execute(EMPTY_SETTLEMENT_STORE)
        yield pool


@pytest.fixture
def store(request: pytest.FixtureRequest, adapter: str) -> SettlementStore:
    if adapter == "memory":
        return MemorySettlementStore()
    return PostgresSettlementStore(request.getfixturevalue("store_pool"))
