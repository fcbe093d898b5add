"""One embedded stack for the whole run, shared by the parallel test processes; a database of its own for each test."""

import asyncio
import fcntl
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import pytest
from temporalio.client import Client

from database.pools import Pool, open_pool
from local_stack import LocalStack
from runtime.stack_state import StackState, fetch_stack_state
from starters.migrate import add_search_attributes
from tests.databases import SCHEMA_BY_PACKAGE, DatabaseUrls, cloned_database, make_templates

TESTS_DIR = Path(__file__).parent

# Continue-as-new is suggested after 100 events instead of 4,096: every batch of some chunks goes through it.
TEMPORAL_ARGUMENTS = ("--dynamic-config-value", "limit.historyCount.suggestContinueAsNew=100")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        folder = item.path.relative_to(TESTS_DIR).parts[0]
        item.add_marker(folder)


@contextmanager
def exclusive(directory: Path) -> Iterator[None]:
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


async def register_search_attributes(temporal_address: str) -> None:
    await add_search_attributes(await Client.connect(temporal_address))


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[StackState]:
    """The run's Temporal and PostgreSQL; the first test process starts it, the last one stops it."""
    base = tmp_path_factory.getbasetemp()
    directory = (base if worker_id == "master" else base.parent) / "stack"
    directory.mkdir(exist_ok=True)
    local_stack = LocalStack(directory, temporal_arguments=TEMPORAL_ARGUMENTS)
    user = directory / f"user-{worker_id}"
    with exclusive(directory):
        state = fetch_stack_state(directory)
        if state is None:
            state = local_stack.up()
            make_templates(state.database_url)
            asyncio.run(register_search_attributes(state.temporal_address))
        user.touch()
    yield state
    with exclusive(directory):
        user.unlink()
        if not list(directory.glob("user-*")):
            local_stack.down()
            shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def databases(stack: StackState) -> Iterator[DatabaseUrls]:
    """Three fresh databases, one for each system."""
    with (
        cloned_database(stack.database_url, "template_order_center") as order_center,
        cloned_database(stack.database_url, "template_fund_platform") as fund_platform,
        cloned_database(stack.database_url, "template_settlement_store") as settlement_store,
    ):
        yield DatabaseUrls(order_center, fund_platform, settlement_store)


@pytest.fixture
async def pools(databases: DatabaseUrls) -> AsyncIterator[dict[str, Pool]]:
    """A connection pool for each system, by package name."""
    async with AsyncExitStack() as opened:
        yield {
            package: await opened.enter_async_context(
                await open_pool(getattr(databases, package), schema=schema, application_name="tests")
            )
            for package, schema in SCHEMA_BY_PACKAGE.items()
        }
