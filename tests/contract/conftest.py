"""Each contract test on each adapter, and the settlement store in memory and on PostgreSQL."""

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
    """One database for all the tests here: emptying its tables is many times faster than cloning it."""
    with cloned_database(stack.database_url, "template_settlement_store") as url:
        yield url


@pytest.fixture(params=ADAPTERS)
def adapter(request: pytest.FixtureRequest) -> str:
    """Whether a test meets the double or the real one."""
    return str(request.param)


@pytest.fixture
async def store_pool(database: str) -> AsyncIterator[Pool]:
    """What the settlement store on PostgreSQL works on, for tests that go behind its back."""
    async with await open_pool(database, schema="settlement", application_name="tests") as pool:
        await pool.execute(EMPTY_SETTLEMENT_STORE)
        yield pool


@pytest.fixture
def store(request: pytest.FixtureRequest, adapter: str) -> SettlementStore:
    if adapter == "memory":
        return MemorySettlementStore()
    return PostgresSettlementStore(request.getfixturevalue("store_pool"))
