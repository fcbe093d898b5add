"""Fixtures for integration tests: a connection pool for the ledger alone, and long connection timeouts."""

from collections.abc import AsyncIterator

import pytest

from database.pools import Pool, open_pool
from domain import limits
from runtime.stack_state import StackState
from tests.support.databases import lent_database
from tests.support.settlements import DEADLINE_S


@pytest.fixture(autouse=True)
def _patient_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Raise the connection timeouts, because a busy machine answers slowly."""
    for bound in ("DATABASE_CONNECT_TIMEOUT_S", "KAFKA_CONNECT_TIMEOUT_S", "TEMPORAL_CONNECT_TIMEOUT_S"):
        monkeypatch.setattr(limits, bound, DEADLINE_S)


@pytest.fixture
async def pool(stack: StackState) -> AsyncIterator[Pool]:
    """A connection pool for the Fund Platform's database, for tests that need only the ledger."""
    with lent_database(stack.database_url, "template_fund_platform") as url:
        async with await open_pool(url, schema="fund_platform", application_name="tests") as pool:
            yield pool
