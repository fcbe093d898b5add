"""Fixtures for tests with Kafka: a broker that a test may end or pause, and the environment of Settle's processes."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from runtime.settings import Settings
from runtime.stack_state import StackState
from tests.apache_kafka.broker import ApacheKafka
from tests.support.databases import DatabaseUrls
from tests.support.intakes import no_client_is_left
from tests.support.settlements import eventually


@pytest.fixture
def own_apache_kafka(apache_kafka_is_there: None, tmp_path: Path) -> Iterator[ApacheKafka]:
    """Apache Kafka for this test alone."""
    directory = tmp_path / "apache-kafka"
    directory.mkdir()
    with ApacheKafka(directory) as kafka:
        yield kafka


@pytest.fixture
async def own_kafka_settings(own_apache_kafka: ApacheKafka, topic_prefix: str) -> AsyncIterator[Settings]:
    """Settings for this test's own broker. It is resumed at the end, so that no client outlives the event loop."""
    yield Settings(
        kafka_bootstrap_servers=own_apache_kafka.bootstrap_servers, stack_dir=Path("none"), topic_prefix=topic_prefix
    )
    own_apache_kafka.resume()
    await eventually(no_client_is_left)


@pytest.fixture
def environment(stack: StackState, databases: DatabaseUrls, kafka_settings: Settings, batch_id: str) -> dict[str, str]:
    """The environment variables that make a process of Settle part of this test's installation."""
    return {
        "SETTLE_DATABASE_URL": databases.settlement_store,
        "SETTLE_ORDER_CENTER_URL": databases.order_center,
        "SETTLE_FUND_PLATFORM_URL": databases.fund_platform,
        "SETTLE_STACK_DIR": "none",
        "SETTLE_TASK_QUEUE": batch_id,
        "SETTLE_TOPIC_PREFIX": kafka_settings.topic_prefix,
        "TEMPORAL_ADDRESS": stack.temporal_address,
        "KAFKA_BOOTSTRAP_SERVERS": kafka_settings.kafka_bootstrap_servers,
    }
