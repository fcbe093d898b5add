"""A Temporal client, the three systems on PostgreSQL and a name of its own for each test."""

import itertools
import os
import re
from collections.abc import AsyncIterator

import pytest
from temporalio.client import Client

from database.pools import Pool, open_pool
from fund_platform.postgres import PostgresFundPlatform
from order_center.postgres import PostgresOrderCenter
from runtime.stack_state import StackState
from settlement_store.postgres import PostgresSettlementStore
from tests.databases import cloned_database
from tests.settlements import Systems, connect

_serial = itertools.count()


@pytest.fixture
def systems(pools: dict[str, Pool]) -> Systems:
    """The three systems, each in a database of its own."""
    return Systems(
        PostgresOrderCenter(pools["order_center"]),
        PostgresSettlementStore(pools["settlement_store"]),
        PostgresFundPlatform(pools["fund_platform"]),
    )


@pytest.fixture
async def pool(stack: StackState) -> AsyncIterator[Pool]:
    """A pool on the Fund Platform's database alone, for what only the ledger matters to."""
    with cloned_database(stack.database_url, "template_fund_platform") as url:
        async with await open_pool(url, schema="fund_platform", application_name="tests") as pool:
            yield pool


@pytest.fixture
async def client(stack: StackState) -> Client:
    return await connect(stack)


@pytest.fixture
def batch_id(request: pytest.FixtureRequest) -> str:
    """Names this test's batch and its task queue: Temporal is shared by all the tests of all processes."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", request.node.name.removeprefix("test_"))
    return f"{name[:60]}-{os.getpid()}-{next(_serial)}"
