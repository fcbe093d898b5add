"""A broker that a test may end or pause."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.apache_kafka.broker import ApacheKafka


@pytest.fixture
def own_apache_kafka(apache_kafka_is_there: None, tmp_path: Path) -> Iterator[ApacheKafka]:
    """Apache Kafka for this test alone."""
    directory = tmp_path / "apache-kafka"
    directory.mkdir()
    with ApacheKafka(directory) as kafka:
        yield kafka
