"""A pool on the ledger alone."""

from collections.abc import AsyncIterator

import pytest

from database.pools import Pool, open_pool
from runtime.stack_state import StackState
from tests.databases import cloned_database


@pytest.fixture
async def pool(stack: StackState) -> AsyncIterator[Pool]:
    """A pool on the Fund Platform's database alone, for what only the ledger matters to."""
    with cloned_database(stack.database_url, "template_fund_platform") as url:
        async with await open_pool(url, schema="fund_platform", application_name="tests") as pool:
            yield pool
