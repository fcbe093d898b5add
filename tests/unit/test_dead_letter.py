"""A dead letter can be written for any record. If Kafka's client refused it, intake would stop for good."""

import json
from typing import Any, cast

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from domain import limits
from messaging.dead_letter import DeadLetterTopic, dead_letter_of
from messaging.dead_letter_reading import send_again
from messaging.decoding import Poison, PoisonClass, decode_record
from tests.support.malformed_records import event

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
    """The parts of a consumed record that a dead letter needs."""

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


async def replay(record: Record, poison: Poison) -> dict[str, Any]:
    """Dead-letter a record, send it again, and return what was sent."""
    producer = Producer()
    await DeadLetterTopic(cast("AIOKafkaProducer", producer), "dlq", "group").send([(record, poison)])
    letter = dead_letter_of(cast("Any", Record(**producer.sent.pop())))
    await send_again(cast("AIOKafkaProducer", producer), "orders.overdue", [letter])
    [sent] = producer.sent
    return sent


async def test_an_element_that_is_sent_again_is_not_refused_for_the_key_of_its_bulk_event() -> None:
    element = json.dumps(event(1)).encode()
    bulk = Record(key=b"bulk-1", value=b"[" + element + b"]")
    sent = await replay(bulk, Poison(PoisonClass.CONFLICT, "It is in conflict.", 0, element))
    decoded = decode_record(sent["key"], sent["value"], {})
    assert [each.order.order_id for each in decoded.announcements] == ["M-1"]


async def test_a_record_that_is_sent_again_keeps_its_key_and_headers() -> None:
    sent = await replay(Record(), Poison(PoisonClass.NOT_JSON, "It is not JSON."))
    assert sent["key"] == b"k"
    assert sent["headers"][0] == ("trace", b"1")


async def test_a_record_without_key_and_value_can_be_sent_again() -> None:
    sent = await replay(Record(key=None, value=None), Poison(PoisonClass.NO_VALUE, "It has no value."))
    assert (sent["key"], sent["value"]) == (b"", None)


def test_what_another_program_wrote_to_the_topic_is_read() -> None:
    headers = [("dlq-original-offset", b"9" * 5_000), ("dlq-element-index", b"-"), ("dlq-error-class", b"\xff")]
    letter = dead_letter_of(cast("Any", Record(headers=headers)))
    assert (letter.original_offset, letter.element_index) == (-1, -1)
