"""Relay: deliver the outbox's results to Kafka at least once, and mark a row when Kafka has acknowledged all of it."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, KafkaTimeoutError

from domain import limits
from domain.errors import SettleError
from messaging.result_events import result_record
from schemas.outbox import OutboxRow, StoredOutcome
from settlement_store.port.outbox import Outbox

# Their text is enough. Any other error is logged with its traceback.
_EXPECTED = (SettleError, TimeoutError, KafkaError)

_log = logging.getLogger(__name__)


class ResultTopic(NamedTuple):
    """The topic of results. `open_producer` opens a producer whose records all replicas must acknowledge."""

    name: str
    open_producer: Callable[[], AbstractAsyncContextManager[AIOKafkaProducer]]


async def run_relay(outbox: Outbox, topic: ResultTopic, relay_id: str, stop: asyncio.Event) -> None:
    """Deliver results until `stop` is set, then release the leases.

    A failure is logged and retried after a pause that grows to a bound. While Kafka or the store is unreachable, the
    relay waits. If it is killed or stopped at any point, the rows that it did not mark are delivered again. The
    outcomes of one order are sent by ascending outcome number. A repeated one may arrive after a later one.
    """
    delivering = asyncio.create_task(_Relay(outbox, topic, relay_id, stop).run())
    try:
        await stop.wait()
        await asyncio.wait([delivering], timeout=limits.RELAY_GRACEFUL_STOP_S)
    finally:
        delivering.cancel()
        await asyncio.gather(delivering, return_exceptions=True)
    try:
        async with asyncio.timeout(limits.DATABASE_CONNECT_TIMEOUT_S):
            await outbox.release_buckets(relay_id)
    except Exception as error:  # noqa: BLE001 (whatever it is, the leases expire)
        _log.warning("relay could not release its leases; they expire", extra={"error": _text_of(error)})


class _Relay:
    """A loop that delivers until it is stopped, whatever fails."""

    def __init__(self, outbox: Outbox, topic: ResultTopic, relay_id: str, stop: asyncio.Event) -> None:
        self._outbox = outbox
        self._topic = topic
        self._relay_id = relay_id
        self._stop = stop
        self._pause_s = limits.RELAY_RETRY_INITIAL_S

    async def run(self) -> None:
        while not self._stop.is_set():
            try:
                async with self._topic.open_producer() as producer:
                    await self._deliver_with(_Delivery(self._outbox, producer, self._topic.name, self._relay_id))
            except Exception as error:  # noqa: BLE001 (whatever it is, results wait to be delivered)
                await self._pause_after(error)

    async def _deliver_with(self, delivery: "_Delivery") -> None:
        """Deliver until stopped. An error after which the producer has to be replaced is raised."""
        while not self._stop.is_set():
            try:
                is_idle = not await delivery.deliver_next()
            except Exception as error:
                if _is_the_end_of_a_producer(error):
                    raise
                await self._pause_after(error)
            else:
                self._pause_s = limits.RELAY_RETRY_INITIAL_S
                if is_idle:
                    await self._wait(limits.RELAY_POLL_INTERVAL_S)

    async def _pause_after(self, error: Exception) -> None:
        _log.warning(
            "relay met an error and retries",
            exc_info=not isinstance(error, _EXPECTED),
            extra={"error": _text_of(error), "pause_s": self._pause_s},
        )
        await self._wait(self._pause_s)
        self._pause_s = min(2 * self._pause_s, limits.RELAY_RETRY_MAX_S)

    async def _wait(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._stop.wait()
        except TimeoutError:
            pass


class _Delivery:
    """The deliveries of one relay with one producer."""

    def __init__(self, outbox: Outbox, producer: AIOKafkaProducer, topic: str, relay_id: str) -> None:
        self._outbox = outbox
        self._producer = producer
        self._topic = topic
        self._relay_id = relay_id
        self._held: frozenset[int] = frozenset()
        self._renew_at_s = 0.0

    async def deliver_next(self) -> bool:
        """Deliver the outbox's next row for the buckets that this relay holds. Return whether there was one."""
        row = await self._outbox.fetch_outbox_row(await self._hold())
        if row is None:
            return False
        event_count = 0
        for item_start in range(row.item_start, row.item_end, limits.RELAY_SLICE_ITEM_COUNT):
            item_end = min(item_start + limits.RELAY_SLICE_ITEM_COUNT, row.item_end)
            outcomes = await self._outbox.fetch_outcomes(row, row.buckets, item_start, item_end)
            await self._send(row, outcomes)
            event_count += len(outcomes)
            await self._hold()
        marked = await self._outbox.mark_delivered(self._relay_id, row.outbox_no, row.buckets)
        if marked != row.buckets:
            self._renew_at_s = 0  # some leases are lost: renew now, to stop sending the results of the lost buckets
        _log.info(
            "results delivered",
            extra={
                "batch_id": row.batch_id,
                "outbox_no": row.outbox_no,
                "event_count": event_count,
                "bucket_count": len(marked),
                "lost_bucket_count": len(row.buckets - marked),
            },
        )
        return True

    async def _hold(self) -> frozenset[int]:
        """Return the buckets that this relay holds, with their leases renewed when due."""
        if time.monotonic() >= self._renew_at_s:
            self._held = await self._outbox.lease_buckets(self._relay_id, limits.RELAY_LEASE_S)
            self._renew_at_s = time.monotonic() + limits.RELAY_RENEW_INTERVAL_S
        return self._held

    async def _send(self, row: OutboxRow, outcomes: Sequence[StoredOutcome]) -> None:
        """Send a slice's events and wait until all are acknowledged, keeping the leases meanwhile."""
        acknowledgements: list[asyncio.Future[object]] = []
        try:
            for outcome in outcomes:
                key, value, headers = result_record(row, outcome)
                sent = await self._producer.send(self._topic, value=value, key=key, headers=headers)
                acknowledgements.append(sent)
            waiting = set(acknowledgements)
            while waiting:
                _, waiting = await asyncio.wait(waiting, timeout=limits.RELAY_RENEW_INTERVAL_S)
                if waiting:
                    _log.warning(
                        "Kafka has not acknowledged some events; waiting for it", extra={"event_count": len(waiting)}
                    )
                    await self._hold()
            await asyncio.gather(*acknowledgements)
        finally:
            for acknowledgement in acknowledgements:
                acknowledgement.cancel()


def _is_the_end_of_a_producer(error: Exception) -> bool:
    """Return whether the producer refuses all records after this error. After others it sends when brokers return."""
    return isinstance(error, KafkaError) and not error.retriable and not isinstance(error, KafkaTimeoutError)


def _text_of(error: BaseException) -> str:
    return str(error) or type(error).__name__
