"""Fixtures for all tests. Parallel test processes share one embedded stack and one Apache Kafka.

Each test has its own databases, topics and consumer groups.
"""

import asyncio
import itertools
import os
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

import pytest
from temporalio.client import Client

from database.pools import Pool, open_pool
from domain import limits
from fund_platform.postgres import PostgresFundPlatform
from local_stack import LocalStack
from order_center.postgres import PostgresOrderCenter
from runtime.settings import Settings
from runtime.stack_state import StackState, fetch_stack_state
from settlement_store.postgres import PostgresSettlementStore
from settling.systems import Systems
from starters.migrate import add_search_attributes
from tests.apache_kafka.broker import ApacheKafka
from tests.apache_kafka.jars import describe_lack
from tests.support.databases import SCHEMA_BY_PACKAGE, DatabaseUrls, lent_database, make_templates
from tests.support.intakes import no_client_is_left
from tests.support.settlements import DEADLINE_S, PROMPT_LIST, connect, eventually
from tests.support.sharing import shared
from tests.support.tools import lacks

TESTS_DIR = Path(__file__).parent

# Continue-as-new is suggested after 100 events instead of 4,096, so even batches with few chunks go through it.
TEMPORAL_ARGUMENTS = ("--dynamic-config-value", "limit.historyCount.suggestContinueAsNew=100", *PROMPT_LIST)

_serial = itertools.count()


class Broker(NamedTuple):
    """The address of the run's Kafka broker."""

    bootstrap_servers: str


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--broker",
        choices=("embedded", "apache"),
        default="embedded",
        help="the Kafka broker of the fixture `broker`, for tests that pass on both",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark each test with its folder. With `--broker apache`, also mark the tests that use a broker with `kafka`.

    One process runs all tests of a file. The longest file that uses the CPU throughout comes first, so that the run
    does not end with one process still working on it.
    """
    items.sort(key=lambda item: item.path.name != "test_settlement_store_plans.py")
    on_apache = config.getoption("--broker") == "apache"
    for item in items:
        folder = item.path.relative_to(TESTS_DIR).parts[0]
        item.add_marker(folder)
        if on_apache and isinstance(item, pytest.Function) and "kafka_settings" in item.fixturenames:
            item.add_marker("kafka")


async def register_search_attributes(temporal_address: str) -> None:
    await add_search_attributes(await Client.connect(temporal_address))


@pytest.fixture(scope="session")
def run_dir(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The folder that all test processes of the run share."""
    base = tmp_path_factory.getbasetemp()
    return base if worker_id == "master" else base.parent


@pytest.fixture(scope="session")
def stack_dir(run_dir: Path) -> Path:
    """The value of SETTLE_STACK_DIR with which a process recognises the embedded broker."""
    return run_dir / "stack"


@pytest.fixture(scope="session")
def stack(stack_dir: Path, worker_id: str) -> Iterator[StackState]:
    """The run's Temporal, PostgreSQL and embedded broker."""
    local_stack = LocalStack(stack_dir, temporal_arguments=TEMPORAL_ARGUMENTS)

    def start() -> None:
        state = local_stack.up()
        make_templates(state.database_url)
        asyncio.run(register_search_attributes(state.temporal_address))

    with shared(stack_dir, worker_id, start=start, stop=local_stack.down):
        state = fetch_stack_state(stack_dir)
        assert state
        yield state


@pytest.fixture(scope="session")
def apache_kafka_is_there() -> None:
    """Skip the test if Java 17 or Maven is missing. In CI, fail it."""
    if lack := describe_lack():
        lacks(lack)


@pytest.fixture(scope="session")
def apache_kafka(apache_kafka_is_there: None, run_dir: Path, worker_id: str) -> Iterator[Broker]:
    """The run's Apache Kafka. Tests that end or pause a broker start their own instead."""
    directory = run_dir / "apache-kafka"
    kafka = ApacheKafka(directory)
    with shared(directory, worker_id, start=kafka.start, stop=kafka.kill):
        yield Broker(kafka.bootstrap_servers)


@pytest.fixture
def broker(request: pytest.FixtureRequest) -> Broker:
    """The broker for tests that pass on both: Apache Kafka in tests marked `kafka`, otherwise the embedded one."""
    if request.node.get_closest_marker("kafka"):
        apache_kafka: Broker = request.getfixturevalue("apache_kafka")
        return apache_kafka
    stack: StackState = request.getfixturevalue("stack")
    return Broker(stack.kafka_bootstrap_servers)


@pytest.fixture
def topic_prefix(request: pytest.FixtureRequest) -> str:
    """A unique prefix for this test's topics and consumer groups, because all tests share the broker."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", request.node.name.removeprefix("test_"))
    return f"{name[:60]}-{os.getpid()}-{next(_serial)}."


@pytest.fixture
async def kafka_settings(broker: Broker, stack_dir: Path, topic_prefix: str) -> AsyncIterator[Settings]:
    """Settings for the broker and this test's own topics, which do not exist yet. No client outlives the event loop."""
    yield Settings(kafka_bootstrap_servers=broker.bootstrap_servers, stack_dir=stack_dir, topic_prefix=topic_prefix)
    await eventually(no_client_is_left)


@pytest.fixture
def databases(stack: StackState) -> Iterator[DatabaseUrls]:
    """Three empty databases, one for each system."""
    with (
        lent_database(stack.database_url, "template_order_center") as order_center,
        lent_database(stack.database_url, "template_fund_platform") as fund_platform,
        lent_database(stack.database_url, "template_settlement_store") as settlement_store,
    ):
        yield DatabaseUrls(order_center, fund_platform, settlement_store)


@pytest.fixture
async def pools(databases: DatabaseUrls, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[dict[str, Pool]]:
    """A connection pool for each system, by package name. Connecting may take long on a busy machine."""
    monkeypatch.setattr(limits, "DATABASE_CONNECT_TIMEOUT_S", DEADLINE_S)
    async with AsyncExitStack() as opened:
        yield {
            package: await opened.enter_async_context(
                await open_pool(getattr(databases, package), schema=schema, application_name="tests")
            )
            for package, schema in SCHEMA_BY_PACKAGE.items()
        }


@pytest.fixture
def systems(pools: dict[str, Pool]) -> Systems:
    """The three systems, each in its own database."""
    return Systems(
        PostgresOrderCenter(pools["order_center"]),
        PostgresSettlementStore(pools["settlement_store"]),
        PostgresFundPlatform(pools["fund_platform"]),
    )


@pytest.fixture
async def client(stack: StackState) -> Client:
    return await connect(stack)


@pytest.fixture
def batch_id(request: pytest.FixtureRequest) -> str:
    """A unique name for this test's batch and task queue, because all tests share Temporal."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", request.node.name.removeprefix("test_"))
    return f"{name[:60]}-{os.getpid()}-{next(_serial)}"
