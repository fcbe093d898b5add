"""Read the dead-letter topic, and send dead letters again."""

import asyncio
from collections.abc import Iterable
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from domain import limits
from messaging.dead_letter import DeadLetter, dead_letter_of

_REPLAYED_FROM = "dlq-replayed-from"


class Span(NamedTuple):
    """A partition's offsets: `start` (inclusive) to `end` (exclusive). All before `replayed_end` were sent again."""

    start: int
    replayed_end: int
    end: int


class DeadLetterReader:
    """A reader of the dead-letter topic that does not join the replay group.

    The group's committed offsets mark how far the dead letters have been sent again.
    """

    def __init__(self, consumer: AIOKafkaConsumer, topic: str, partitions: Iterable[int]) -> None:
        self._consumer = consumer
        self._topic = topic
        self._partitions = [TopicPartition(topic, number) for number in sorted(partitions)]

    async def fetch_spans(self) -> dict[int, Span]:
        """Return what each partition holds now, by its number.

        Raises:
            KafkaError: the brokers could not be read from.
            TimeoutError: the brokers did not answer in time.
        """
        partitions = self._partitions
        async with asyncio.timeout(limits.KAFKA_SEND_TIMEOUT_S):
            self._consumer.assign(partitions)
            starts = await self._consumer.beginning_offsets(partitions)
            ends = {each: await fetch_end(self._consumer, each) for each in partitions}
            replayed = {each: await self._consumer.committed(each) or 0 for each in partitions}
        return {
            each.partition: Span(starts[each], max(replayed[each], starts[each]), ends[each]) for each in partitions
        }

    async def read(self, partition: int, start: int, end: int) -> list[DeadLetter]:
        """Read the dead letters from `start` (inclusive) to `end` (exclusive), both within the partition's span.

        Raises:
            KafkaError: the brokers could not be read from.
            TimeoutError: the brokers did not answer in time.
        """
        place = TopicPartition(self._topic, partition)
        letters: list[DeadLetter] = []
        self._consumer.seek(place, start)
        async with asyncio.timeout(limits.KAFKA_SEND_TIMEOUT_S):
            while await self._consumer.position(place) < end:
                found = await self._consumer.getmany(
                    place, timeout_ms=int(limits.INTAKE_POLL_S * 1000), max_records=end - start
                )
                letters += [dead_letter_of(record) for record in found.get(place, []) if record.offset < end]
        return letters

    async def commit_replayed(self, partition: int, end: int) -> None:
        """Store that all dead letters before this offset were sent again.

        Raises:
            KafkaError: the brokers refused the commit.
            TimeoutError: the brokers did not answer in time.
        """
        async with asyncio.timeout(limits.KAFKA_COMMIT_TIMEOUT_S):
            await self._consumer.commit({TopicPartition(self._topic, partition): end})


async def fetch_end(consumer: AIOKafkaConsumer, partition: TopicPartition) -> int:
    """Return the offset after a partition's last record, as its fetches report it. The partition must be assigned.

    `end_offsets` is not used: the embedded broker reports it wrongly after records that were sent together.
    """
    while True:
        end: int | None = consumer.highwater(partition)
        if end is not None:
            return end
        await asyncio.sleep(limits.KAFKA_LOOK_INTERVAL_S)


async def send_again(producer: AIOKafkaProducer, topic: str, letters: Iterable[DeadLetter]) -> None:
    """Send dead letters to a topic, with their own keys and headers. On return all are acknowledged.

    An element of a bulk event is sent without a key: the bulk event's key is not its order's.

    Raises:
        KafkaError: a dead letter was refused.
        TimeoutError: not all were acknowledged in time.
    """
    async with asyncio.timeout(limits.KAFKA_SEND_TIMEOUT_S):
        sent: list[Any] = [
            await producer.send(
                topic,
                key=_key_of(letter),
                value=letter.value,
                headers=[*letter.headers, (_REPLAYED_FROM, f"{letter.partition}:{letter.offset}".encode())],
            )
            for letter in letters
        ]
        await asyncio.gather(*sent)


def _key_of(letter: DeadLetter) -> bytes | None:
    if letter.value is None:
        return letter.key or b""  # the client refuses a record with neither key nor value
    return letter.key if letter.element_index is None else None
