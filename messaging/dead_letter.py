"""The dead-letter topic: records that intake could not take in, with all that is needed to examine and resend them."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer, ConsumerRecord
from aiokafka.errors import KafkaTimeoutError

from domain import limits
from messaging.decoding import Poison

_ERROR_CLASS = "dlq-error-class"
_ERROR_MESSAGE = "dlq-error-message"
_TOPIC = "dlq-original-topic"
_PARTITION = "dlq-original-partition"
_OFFSET = "dlq-original-offset"
_TIMESTAMP = "dlq-original-timestamp-ms"
_GROUP = "dlq-consumer-group"
_ELEMENT = "dlq-element-index"
_VALUE_BYTES = "dlq-original-value-bytes"
_NUMBER_LENGTH_MAX = 19  # digits of a 64-bit number
_HEADER_OVERHEAD_BYTES = 10  # two lengths of at most 5 bytes each: even empty headers take space


class DeadLetter(NamedTuple):
    """A dead-lettered record, or element of a bulk event, as read from the dead-letter topic.

    `value` is the record's value or the element's own JSON. It had `value_bytes` bytes. Of a value that was too large,
    only the beginning is kept.
    """

    partition: int
    offset: int
    error_class: str
    message: str
    original_topic: str
    original_partition: int
    original_offset: int
    original_timestamp_ms: int
    consumer_group: str
    element_index: int | None
    key: bytes | None
    value: bytes | None
    value_bytes: int
    headers: list[tuple[str, bytes]]

    @property
    def is_cut(self) -> bool:
        """Whether the value was too large to be kept whole."""
        return self.value_bytes > len(self.value or b"")


class DeadLetterTopic:
    """Writes dead letters, which all replicas acknowledge."""

    def __init__(self, producer: AIOKafkaProducer, topic: str, consumer_group: str) -> None:
        self._producer = producer
        self._topic = topic
        self._consumer_group = consumer_group

    async def send(self, poisoned: Sequence[tuple[ConsumerRecord, Poison]]) -> None:
        """Write the poison of records, with headers that give its origin and the error.

        Not atomic: a dead letter that is sent again after an error may be there twice.

        Raises:
            KafkaError: a dead letter was refused, or not all were acknowledged in time.
        """
        try:
            async with asyncio.timeout(limits.KAFKA_SEND_TIMEOUT_S):
                sent = [await self._send_one(record, poison) for record, poison in poisoned]
                await asyncio.gather(*sent)
        except TimeoutError as error:
            raise KafkaTimeoutError(f"not acknowledged within {limits.KAFKA_SEND_TIMEOUT_S:g} s") from error

    async def _send_one(self, record: ConsumerRecord, poison: Poison) -> Any:
        value = record.value if poison.element is None else poison.element
        headers = {
            _ERROR_CLASS: poison.poison_class,
            _ERROR_MESSAGE: poison.message[: limits.EXCEPTION_DETAIL_LENGTH_MAX],
            _TOPIC: record.topic,
            _PARTITION: record.partition,
            _OFFSET: record.offset,
            _TIMESTAMP: record.timestamp,
            _GROUP: self._consumer_group,
            _VALUE_BYTES: len(value or b""),
        }
        if poison.element_index is not None:
            headers[_ELEMENT] = poison.element_index
        return await self._producer.send(
            self._topic,
            key=_key_of(record),
            value=value and value[: limits.DEAD_LETTER_BYTES_MAX],
            headers=[*_kept(record.headers), *((name, str(each).encode()) for name, each in headers.items())],
        )


def dead_letter_of(record: ConsumerRecord) -> DeadLetter:
    """Parse a record of the dead-letter topic. Headers that are missing or malformed give empty text, -1 or None."""
    headers = header_values(record.headers)

    def number(name: str, otherwise: int) -> int:
        text = headers.get(name, b"")
        return int(text) if text.isdigit() and len(text) <= _NUMBER_LENGTH_MAX else otherwise

    return DeadLetter(
        partition=record.partition,
        offset=record.offset,
        error_class=headers.get(_ERROR_CLASS, b"").decode(errors="replace"),
        message=headers.get(_ERROR_MESSAGE, b"").decode(errors="replace"),
        original_topic=headers.get(_TOPIC, b"").decode(errors="replace"),
        original_partition=number(_PARTITION, -1),
        original_offset=number(_OFFSET, -1),
        original_timestamp_ms=number(_TIMESTAMP, -1),
        consumer_group=headers.get(_GROUP, b"").decode(errors="replace"),
        element_index=number(_ELEMENT, -1) if _ELEMENT in headers else None,
        key=record.key,
        value=record.value,
        value_bytes=number(_VALUE_BYTES, len(record.value or b"")),
        headers=_original(record.headers),
    )


def header_values(headers: Iterable[tuple[str, bytes | None]]) -> Mapping[str, bytes]:
    """Return headers by lower-case name. Of a repeated one the last counts."""
    return {name.lower(): value or b"" for name, value in headers}


def _key_of(record: ConsumerRecord) -> bytes | None:
    """Return the record's key, cut to a bound. It is empty if the record has neither key nor value.

    The client refuses a record that has neither.
    """
    if record.key is None:
        return b"" if record.value is None else None
    key: bytes = record.key[: limits.DEAD_LETTER_KEY_BYTES_MAX]
    return key


def _kept(headers: Iterable[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """Return a record's own headers, or none of them if they are too large together."""
    original = _original(headers)
    header_bytes = sum(len(name.encode()) + len(value or b"") + _HEADER_OVERHEAD_BYTES for name, value in original)
    return original if header_bytes <= limits.DEAD_LETTER_HEADER_BYTES_MAX else []


def _original(headers: Iterable[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """Return a record's own headers, without the `dlq-` headers of a dead letter."""
    return [(name, value) for name, value in headers if not name.startswith("dlq-")]
