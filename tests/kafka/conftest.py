"""What these tests share: a broker that a test may end or pause, and processes of Settle."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.settings import Settings
from runtime.stack_state import StackState
from tests.apache_kafka.broker import ApacheKafka
from tests.databases import DatabaseUrls


@pytest.fixture
def own_apache_kafka(apache_kafka_is_there: None, tmp_path: Path) -> Iterator[ApacheKafka]:
    """Apache Kafka for this test alone."""
    directory = tmp_path / "apache-kafka"
    directory.mkdir()
    with ApacheKafka(directory) as kafka:
        yield kafka


@pytest.fixture
def environment(stack: StackState, databases: DatabaseUrls, kafka_settings: Settings, batch_id: str) -> dict[str, str]:
    """What makes a process of Settle one of this test's installation."""
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
