"""A dead letter can be written whatever the record was: one that Kafka's client refuses would stop intake for good."""

from typing import Any, cast

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from domain import limits
from messaging.dead_letter import DeadLetterTopic
from messaging.decoding import Poison, PoisonClass

EMPTY_HEADERS = [("", b"")] * 500_000


class Producer:
    """Keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    async def send(self, _topic: str, **record: Any) -> Any:
        self.sent.append(record)
        return done()


async def done() -> None:
    pass


class Record:
    """A consumed record, as far as a dead letter needs one."""

    def __init__(self, **changed: Any) -> None:
        self.topic, self.partition, self.offset, self.timestamp = "orders.overdue", 0, 0, 1
        self.key, self.value, self.headers = b"k", b"{", [("trace", b"1")]
        vars(self).update(changed)


@pytest.mark.parametrize(
    "record",
    [
        Record(),
        Record(value=b"x" * 5_000_000),
        Record(key=b"k" * 1_000_000),
        Record(headers=[("large", b"x" * 1_000_000)]),
        Record(headers=EMPTY_HEADERS),
        Record(value=b"x" * 5_000_000, key=b"k" * 1_000_000, headers=EMPTY_HEADERS),
        Record(headers=[("null", None)]),
        Record(key=None, value=None),
    ],
    ids=["small", "value", "key", "header", "many headers", "all", "null header", "nothing"],
)
async def test_a_dead_letter_fits_a_request(record: Record) -> None:
    producer = Producer()
    poison = Poison(PoisonClass.NOT_JSON, "客" * 10_000)
    await DeadLetterTopic(cast("AIOKafkaProducer", producer), "dlq", "group").send([(record, poison)])
    [sent] = producer.sent
    assert not (sent["key"] is None and sent["value"] is None)
    estimate = DefaultRecordBatchBuilder.estimate_size_in_bytes(sent["key"], sent["value"], sent["headers"])
    assert estimate <= limits.KAFKA_REQUEST_BYTES_MAX
