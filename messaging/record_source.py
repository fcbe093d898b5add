"""The source of records: one member of a consumer group, which commits only what was marked as durable."""

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
    """Records, each partition's in the sequence of their offsets, and the assignment under which they were read."""

    records: list[ConsumerRecord]
    assignment_no: int


class RecordSource(ConsumerRebalanceListener):  # type: ignore[misc]
    """A started consumer. It makes one poll at a time and never cancels one.

    aiokafka would count a cancelled poll as running for good, and would no longer notice a consumer that is too slow.

    While paused it continues to poll. It thereby keeps its membership for any time, even beyond
    `max_poll_interval_ms`. Partitions that a rebalance assigns meanwhile are paused too.
    """

    def __init__(self, consumer: AIOKafkaConsumer, topic: str) -> None:
        self._consumer = consumer
        self._topic = topic
        self._polling: asyncio.Task[Polled] | None = None
        self._kept: list[Polled] = []  # of a poll that was under way when it was paused: at most one
        self._durable: dict[TopicPartition, int] = {}
        self._assignment_no = 0
        self._is_paused = False

    async def start(self) -> None:
        """Connect, and begin to join the group. Polls wait until partitions are assigned.

        Raises:
            KafkaError: the brokers could not be reached in time.
        """
        try:
            async with asyncio.timeout(limits.KAFKA_CONNECT_TIMEOUT_S):
                await self._consumer.start()
        except TimeoutError as error:
            raise KafkaConnectionError(f"no answer within {limits.KAFKA_CONNECT_TIMEOUT_S:g} s") from error
        # Subscribe after the start: the start of a subscribed consumer waits for its partitions without a bound.
        self._consumer.subscribe([self._topic], listener=self)

    async def stop(self) -> None:
        """Disconnect in a bounded time. A static member keeps its place until its session ends."""
        if self._polling:
            self._polling.cancel()
            await asyncio.gather(self._polling, return_exceptions=True)
        # The result does not matter: another consumer takes its place.
        await stop_in_time(self._consumer)

    @property
    def is_paused(self) -> bool:
        """Whether polls return no records for now."""
        return self._is_paused

    def pause(self) -> None:
        """Stop returning records, and keep the membership."""
        self._is_paused = True
        self._consumer.pause(*self._consumer.assignment())

    def resume(self) -> None:
        """Return records again."""
        self._is_paused = False
        self._consumer.resume(*self._consumer.assignment())

    async def poll(self, timeout_s: float) -> Polled | None:
        """Return the next records, at most `limits.INTAKE_RECORD_COUNT_MAX`, or None if none arrive in time.

        Raises:
            KafkaError: the consumer cannot continue. Stop it and start another.
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
        """Pause and wait, while the caller still has records to process. Polling goes on to keep the membership.

        The next `poll` returns the records, or raises the error, of a poll that was under way. The source stays paused.
        """
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
        """Allow the records' offsets to be committed, unless their partitions may belong to another member by now."""
        if polled.assignment_no == self._assignment_no:
            for record in polled.records:
                self._durable[TopicPartition(record.topic, record.partition)] = record.offset + 1

    async def commit(self) -> None:
        """Commit the durable offsets in a bounded time. After a failure the next call commits them.

        A lost commit loses no data: the records are read again and counted as duplicates.
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
            _log.warning("offsets were not committed; the next commit retries", extra={"error": reason})
        else:
            self._forget(offsets)

    def on_partitions_revoked(self, _revoked: Iterable[TopicPartition]) -> None:
        """Drop the durable offsets: another member may own the partitions now, and be further on."""
        self._assignment_no += 1
        self._durable.clear()

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Pause the new partitions if the source is paused. Called before anything is fetched from them."""
        if self._is_paused:
            self._consumer.pause(*assigned)
        _log.info("partitions assigned", extra={"partitions": sorted(each.partition for each in assigned)})

    async def _get(self) -> Polled:
        """Read the available records in small steps, up to a bound of bytes, because bulk events are large."""
        records = await self._get_some(limits.INTAKE_POLL_S, limits.INTAKE_RECORD_COUNT_MAX)
        # If the assignment changes meanwhile, these records are still taken in, but not committed.
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
