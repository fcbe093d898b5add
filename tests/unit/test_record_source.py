"""The record source keeps and commits the right records, and always ends."""

import asyncio
from typing import Any, cast

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaConnectionError

from domain import limits
from messaging.record_source import Polled, RecordSource


class SilentConsumer:
    """Never answers, whatever it is asked."""

    async def start(self) -> None:
        await asyncio.Event().wait()

    async def stop(self) -> None:
        await asyncio.Event().wait()


class Record:
    """The parts of a consumed record that give its place."""

    def __init__(self, partition: int, offset: int) -> None:
        self.topic, self.partition, self.offset, self.value = "orders.overdue", partition, offset, b"{"


class Consumer(SilentConsumer):
    """Returns what was put in, even while paused, as a poll that is already running does. Keeps what is committed."""

    def __init__(self) -> None:
        self.records: asyncio.Queue[Record] = asyncio.Queue()
        self.committed: list[dict[TopicPartition, int]] = []
        self.commit_error: Exception | None = None
        self.paused: set[TopicPartition] = set()
        self.poll_count = 0

    def assignment(self) -> set[TopicPartition]:
        return {TopicPartition("orders.overdue", 0)}

    def pause(self, *partitions: TopicPartition) -> None:
        self.paused |= set(partitions)

    async def getmany(self, **_: Any) -> dict[TopicPartition, list[Record]]:
        self.poll_count += 1
        try:
            async with asyncio.timeout(0.01):
                record = await self.records.get()
        except TimeoutError:
            return {}
        return {TopicPartition(record.topic, record.partition): [record]}

    async def commit(self, offsets: dict[TopicPartition, int]) -> None:
        if self.commit_error:
            raise self.commit_error
        self.committed.append(offsets)


class RefusedConsumer(SilentConsumer):
    async def start(self) -> None:
        raise KafkaConnectionError


def source_of(consumer: SilentConsumer) -> RecordSource:
    return RecordSource(cast("Any", consumer), "orders.overdue")


async def test_connecting_takes_a_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "KAFKA_CONNECT_TIMEOUT_S", 0.01)
    with pytest.raises(KafkaConnectionError, match=r"no answer within 0\.01 s"):
        await source_of(SilentConsumer()).start()


async def test_brokers_that_cannot_be_reached_are_told() -> None:
    with pytest.raises(KafkaConnectionError):
        await source_of(RefusedConsumer()).start()


async def test_leaving_takes_a_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "KAFKA_STOP_TIMEOUT_S", 0.01)
    async with asyncio.timeout(60):
        await source_of(SilentConsumer()).stop()


async def poll_one(source: RecordSource, consumer: Consumer, offset: int, partition: int = 0) -> Polled:
    consumer.records.put_nowait(Record(partition, offset))
    polled = await source.poll(1)
    assert polled
    return polled


async def test_waiting_with_records_in_hand_keeps_them_in_order_and_polls_on() -> None:
    """A member that does not poll for `max_poll_interval_ms` loses its place."""
    consumer = Consumer()
    source = source_of(consumer)
    assert await source.poll(0) is None
    consumer.records.put_nowait(Record(0, 7))
    await source.wait(0.02)
    polls_before = consumer.poll_count
    await source.wait(0.1)
    assert consumer.poll_count > polls_before
    polled = await source.poll(0)
    assert polled
    assert [record.offset for record in polled.records] == [7]
    assert await source.poll(0.05) is None


async def test_what_was_polled_before_a_rebalance_is_not_committed_after_it() -> None:
    consumer = Consumer()
    source = source_of(consumer)
    before = await poll_one(source, consumer, 7)
    source.on_partitions_revoked([])
    source.mark_durable(before)
    await source.commit()
    assert consumer.committed == []


async def test_what_was_durable_before_a_rebalance_is_not_committed_after_it() -> None:
    consumer = Consumer()
    source = source_of(consumer)
    source.mark_durable(await poll_one(source, consumer, 7))
    source.on_partitions_revoked([])
    await source.commit()
    assert consumer.committed == []


async def test_the_offset_after_the_last_durable_record_is_committed_once() -> None:
    consumer = Consumer()
    source = source_of(consumer)
    source.mark_durable(await poll_one(source, consumer, 7))
    source.mark_durable(await poll_one(source, consumer, 8))
    source.mark_durable(await poll_one(source, consumer, 3, partition=1))
    await source.commit()
    await source.commit()
    assert consumer.committed == [{TopicPartition("orders.overdue", 0): 9, TopicPartition("orders.overdue", 1): 4}]


@pytest.mark.parametrize(
    ("error", "is_tried_again"),
    [
        (KafkaConnectionError(), True),
        (TimeoutError(), True),
        (CommitFailedError(), False),
        (IllegalStateError(), False),
    ],
)
async def test_a_commit_that_failed_is_tried_again_unless_the_group_has_rebalanced(
    error: Exception, is_tried_again: bool
) -> None:
    consumer = Consumer()
    source = source_of(consumer)
    source.mark_durable(await poll_one(source, consumer, 7))
    consumer.commit_error = error
    await source.commit()
    consumer.commit_error = None
    await source.commit()
    assert len(consumer.committed) == is_tried_again


async def test_partitions_that_come_while_it_is_paused_are_paused() -> None:
    consumer = Consumer()
    source = source_of(consumer)
    come = TopicPartition("orders.overdue", 5)
    source.on_partitions_assigned([come])
    assert come not in consumer.paused
    source.pause()
    source.on_partitions_assigned([come])
    assert come in consumer.paused
