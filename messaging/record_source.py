"""Where records come from: one member of a consumer group, that commits only what it is told is durable."""

import asyncio
import logging
import time
from collections.abc import Iterable
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaConnectionError, KafkaError

from domain import limits
from messaging.stopping import stop_in_time

_log = logging.getLogger(__name__)


class Polled(NamedTuple):
    """Records in the order of their partitions, and the assignment under which they were given out."""

    records: list[ConsumerRecord]
    assignment_no: int


class RecordSource(ConsumerRebalanceListener):  # type: ignore[misc]
    """A started consumer. Polls one at a time, and never cancels a poll: that would unhinge its clock.

    While it is paused it goes on polling, so that it keeps its membership for as long as it takes, also over
    `max_poll_interval_ms`; and what a rebalance gives it meanwhile is paused too.
    """

    def __init__(self, consumer: AIOKafkaConsumer, topic: str) -> None:
        self._consumer = consumer
        self._topic = topic
        self._polling: asyncio.Task[Polled] | None = None
        self._kept: list[Polled] = []  # what a poll under way gave out although it was paused: one at most, then none
        self._durable: dict[TopicPartition, int] = {}
        self._assignment_no = 0
        self._is_paused = False

    async def start(self) -> None:
        """Connect, and begin to join the group; polls wait until it has its partitions.

        Raises:
            KafkaError: the brokers could not be reached in time.
        """
        try:
            async with asyncio.timeout(limits.KAFKA_CONNECT_TIMEOUT_S):
                await self._consumer.start()
        except TimeoutError as error:
            raise KafkaConnectionError(f"no answer within {limits.KAFKA_CONNECT_TIMEOUT_S:g} s") from error
        # Not before the start, which would then wait for the partitions without end.
        self._consumer.subscribe([self._topic], listener=self)

    async def stop(self) -> None:
        """Leave the brokers, in a bounded time; a static member's place is kept for it until its session ends."""
        if self._polling:
            self._polling.cancel()
            await asyncio.gather(self._polling, return_exceptions=True)
        # However it ends, another consumer takes its place.
        await stop_in_time(self._consumer)

    @property
    def is_paused(self) -> bool:
        """Whether it gives out no records for now."""
        return self._is_paused

    def pause(self) -> None:
        """Give out no records, and keep the membership."""
        self._is_paused = True
        self._consumer.pause(*self._consumer.assignment())

    def resume(self) -> None:
        """Give out records again."""
        self._is_paused = False
        self._consumer.resume(*self._consumer.assignment())

    async def poll(self, timeout_s: float) -> Polled | None:
        """Wait for the next records, at most `limits.INTAKE_RECORD_COUNT_MAX`; None if none come in time.

        Raises:
            KafkaError: the consumer cannot go on; stop it and start another.
        """
        if self._kept:
            return self._kept.pop(0)
        if self._polling is None:
            self._polling = asyncio.create_task(self._get())
        done, _ = await asyncio.wait({self._polling}, timeout=timeout_s)
        if not done:
            return None
        polled = self._polling.result()
        self._polling = None
        return polled if polled.records else None

    async def wait(self, seconds: float) -> None:
        """Wait with records in hand: paused, and polling on. Records of a poll under way are kept for the next one."""
        deadline_s = time.monotonic() + seconds
        self.pause()
        while (left_s := deadline_s - time.monotonic()) > 0:
            if self._polling is None:
                self._polling = asyncio.create_task(self._get())
            done, _ = await asyncio.wait({self._polling}, timeout=left_s)
            if done and self._polling.exception():
                await asyncio.sleep(max(deadline_s - time.monotonic(), 0))
            elif done:
                polled = self._polling.result()
                self._polling = None
                if polled.records:
                    self._kept.append(polled)

    def mark_durable(self, polled: Polled) -> None:
        """Let the records' offsets be committed, unless their partitions may have gone to another member since."""
        if polled.assignment_no == self._assignment_no:
            for record in polled.records:
                self._durable[TopicPartition(record.topic, record.partition)] = record.offset + 1

    async def commit(self) -> None:
        """Commit what is durable, in a bounded time. What fails stays to be committed with the next call.

        Losing a commit loses nothing: the records come again, and are counted as duplicates.
        """
        offsets = dict(self._durable)
        if not offsets:
            return
        try:
            async with asyncio.timeout(limits.KAFKA_COMMIT_TIMEOUT_S):
                await self._consumer.commit(offsets)
        except (CommitFailedError, IllegalStateError) as error:
            _log.warning(
                "offsets were not committed: the group has rebalanced, or another process has the same instance id",
                extra={"error": type(error.__cause__ or error).__name__},
            )
            self._forget(offsets)
        except (KafkaError, OSError) as error:
            reason = str(error) or f"no answer within {limits.KAFKA_COMMIT_TIMEOUT_S:g} s"
            _log.warning("offsets were not committed; tried again", extra={"error": reason})
        else:
            self._forget(offsets)

    def on_partitions_revoked(self, _revoked: Iterable[TopicPartition]) -> None:
        """What was durable before may be another member's to commit now, and further on already."""
        self._assignment_no += 1
        self._durable.clear()

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Called before anything is fetched from the new partitions."""
        if self._is_paused:
            self._consumer.pause(*assigned)
        _log.info("partitions assigned", extra={"partitions": sorted(each.partition for each in assigned)})

    async def _get(self) -> Polled:
        """Get what is there, step by step, so that bulk events take no more memory than single ones."""
        records = await self._get_some(limits.INTAKE_POLL_S, limits.INTAKE_RECORD_COUNT_MAX)
        # Should the assignment change meanwhile, what is in hand is taken in all the same, but not committed.
        assignment_no = self._assignment_no
        more = records
        left_bytes = limits.INTAKE_POLL_BYTES_MAX
        while more:
            left_bytes -= sum(len(record.value or b"") for record in more)
            left_count = limits.INTAKE_RECORD_COUNT_MAX - len(records)
            more = await self._get_some(0, left_count) if left_bytes > 0 and left_count else []
            records += more
        return Polled(records, assignment_no)

    async def _get_some(self, timeout_s: float, count_max: int) -> list[ConsumerRecord]:
        by_partition = await self._consumer.getmany(
            timeout_ms=int(timeout_s * 1000), max_records=min(count_max, limits.INTAKE_STEP_RECORD_COUNT)
        )
        return [record for records in by_partition.values() for record in records]

    def _forget(self, offsets: dict[TopicPartition, int]) -> None:
        for partition, offset in offsets.items():
            if self._durable.get(partition) == offset:
                del self._durable[partition]
