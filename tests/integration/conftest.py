"""A pool on the ledger alone, and servers that are waited for."""

from collections.abc import AsyncIterator

import pytest

from database.pools import Pool, open_pool
from domain import limits
from runtime.stack_state import StackState
from tests.support.databases import lent_database
from tests.support.settlements import DEADLINE_S


@pytest.fixture(autouse=True)
def _patient_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers that are there are waited for as long as a busy machine takes."""
    for bound in ("DATABASE_CONNECT_TIMEOUT_S", "KAFKA_CONNECT_TIMEOUT_S", "TEMPORAL_CONNECT_TIMEOUT_S"):
        monkeypatch.setattr(limits, bound, DEADLINE_S)


@pytest.fixture
async def pool(stack: StackState) -> AsyncIterator[Pool]:
    """A pool on the Fund Platform's database alone, for what only the ledger matters to."""
    with lent_database(stack.database_url, "template_fund_platform") as url:
        async with await open_pool(url, schema="fund_platform", application_name="tests") as pool:
            yield pool
