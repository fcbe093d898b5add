"""Intake: poll -> decode -> store -> commit, one after the other, which gives back-pressure to the consumer group.

A polled record is stored (as an item, a counted duplicate or a counted conflict) or on the dead-letter topic before its
offset is committed. A failed step is retried until it succeeds or the process ends. Meanwhile the partitions are paused
and the membership is kept. If the process ends, its records are read again and counted as duplicates. Orders whose data
the settlement store refuses are found by bisection and dead-lettered; the others are taken in.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple, Protocol, TypeVar

from aiokafka import ConsumerRecord
from aiokafka.errors import KafkaError

from domain import limits
from domain.errors import (
    DataError,
    OffersRefusedError,
    SettleError,
    TooManyBatchesError,
    UnansweredError,
    UnavailableError,
)
from messaging.dead_letter import DeadLetterTopic, header_values
from messaging.decoding import (
    Announcement,
    Poison,
    Refusal,
    conflict_of,
    decode_record,
    poisons_of,
    store_refusal_of,
)
from messaging.record_source import Polled, RecordSource
from schemas.batches import AppendedOffers
from schemas.items import OfferedOrder
from settlement_store.port import SettlementStore

RETRIED_ERRORS = (KafkaError, TooManyBatchesError, UnavailableError, UnansweredError)

Done = TypeVar("Done")
Announced = tuple[ConsumerRecord, Announcement]
Refused = tuple[ConsumerRecord, Refusal]
Poisoned = tuple[ConsumerRecord, Poison]

_log = logging.getLogger(__name__)


class PressureSettings(NamedTuple):
    """The numbers of orders without an outcome at which intake pauses and resumes. Stuck batches do not count."""

    high_water: int
    low_water: int
    batch_stuck_s: float


class Filling(Protocol):
    """The batch that intake fills. `settling.intake_filling.BatchFilling` implements this."""

    @property
    def due_in_s(self) -> float:
        """The seconds until the open batch has to be frozen; infinity if there is none."""

    async def append(self, orders: Sequence[OfferedOrder]) -> AppendedOffers:
        """Append orders, from the first one on, up to the batch's room and the store's limit for one call. Atomic.

        Raises:
            OffersRefusedError: the store cannot take the data of at least one of the orders.
            TooManyBatchesError: no batch is open, and none can be opened now.
        """

    async def freeze_when_due(self) -> None:
        """Freeze and start the open batch if it is full or old enough."""

    async def freeze(self) -> None:
        """Freeze and start the open batch, if there is one. Idempotent."""


class _StoppedError(Exception):
    """The process was asked to stop while records were in hand."""


class Intake:
    """Takes records in until it is stopped."""

    def __init__(
        self,
        source: RecordSource,
        store: SettlementStore,
        filling: Filling,
        dead_letters: DeadLetterTopic,
        pressure: PressureSettings,
    ) -> None:
        self._source = source
        self._store = store
        self._filling = filling
        self._dead_letters = dead_letters
        self._pressure = pressure
        self._pressed = False
        self._look_at_s = 0.0
        self._polled_s = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Take records in until `stop` is set. Then freeze and start the open batch, and commit all durable offsets.

        Raises:
            KafkaError: the consumer cannot continue. Nothing is lost; run another.
        """
        try:
            while not stop.is_set():
                polled = await self._source.poll(min(limits.INTAKE_POLL_S, max(self._filling.due_in_s, 0)))
                self._polled_s = time.monotonic()
                if polled:
                    await self._take(polled, stop)
                await self._until_done(self._filling.freeze_when_due, stop)
                await self._source.commit()
                await self._regulate(stop)
            await self._until_done(self._filling.freeze, stop)
        except _StoppedError:
            _log.warning("stopped with records in hand; they are not committed and will be read again")
        await self._source.commit()

    async def _take(self, polled: Polled, stop: asyncio.Event) -> None:
        async for announced, poisoned in _decode(polled.records):
            refused: list[Refused] = []
            for round_no, offers in enumerate(rounds_of(announced)):
                if stop.is_set() and round_no >= limits.INTAKE_ROUND_COUNT_AFTER_STOP:
                    raise _StoppedError
                refused += await self._append(offers, stop)
            await self._dead_letter(poisoned + _poison_of(refused), stop)
        self._source.mark_durable(polled)

    async def _dead_letter(self, poisoned: Sequence[Poisoned], stop: asyncio.Event) -> None:
        for start in range(0, len(poisoned), limits.DEAD_LETTER_SEND_COUNT):
            part = poisoned[start : start + limits.DEAD_LETTER_SEND_COUNT]
            await self._until_done(partial(self._dead_letters.send, part), stop)
        if poisoned:
            _log.warning("records were dead-lettered", extra=_describe(poisoned))

    async def _append(self, offers: Sequence[Announced], stop: asyncio.Event) -> list[Refused]:
        """Store offers, in which each order occurs once. Return the conflicts, and those that the store cannot take.

        Raises:
            _StoppedError: `stop` is set, and an append has failed or was refused.
        """
        refusal_by_id: dict[str, Callable[[Announcement], Refusal]] = {}
        # A stack of groups to append. A refused group is cut in halves until a refused order stands alone.
        groups: list[Sequence[OfferedOrder]] = [[announcement.order for _, announcement in offers]]
        while groups:
            orders = groups.pop()
            try:
                appended = await self._until_done(partial(self._filling.append, orders), stop)
            except OffersRefusedError as error:
                await self._after_refusal(stop)
                if error.offer_count == 1:
                    refusal_by_id[orders[0].order_id] = partial(store_refusal_of, reason=str(error))
                groups += reversed(_still_to_append(orders, error.offer_count))
            else:
                refusal_by_id |= dict.fromkeys(appended.conflict_order_ids, conflict_of)
                if rest := orders[appended.offer_count :]:
                    groups.append(rest)
        return [
            (record, refusal_by_id[announcement.order.order_id](announcement))
            for record, announcement in offers
            if announcement.order.order_id in refusal_by_id
        ]

    async def _after_refusal(self, stop: asyncio.Event) -> None:
        """Poll now and then between refusals, to keep the membership however many refusals there are.

        Raises:
            _StoppedError: `stop` is set.
        """
        if stop.is_set():
            raise _StoppedError
        if time.monotonic() - self._polled_s > limits.INTAKE_POLL_S:
            await self._source.wait(limits.INTAKE_DECODE_S_MAX)
            self._polled_s = time.monotonic()

    async def _regulate(self, stop: asyncio.Event) -> None:
        """Pause above the high-water mark, and resume below the low one.

        The backlog is read at most once in `limits.INTAKE_PRESSURE_LOOK_S` seconds.
        """
        if time.monotonic() < self._look_at_s:
            return
        pending = await self._until_done(
            partial(self._store.batches.fetch_backlog_order_count, self._pressure.batch_stuck_s), stop
        )
        self._look_at_s = time.monotonic() + limits.INTAKE_PRESSURE_LOOK_S
        if not self._pressed and pending > self._pressure.high_water:
            self._pressed = True
            self._source.pause()
            _log.warning("intake pauses: too many orders have no outcome yet", extra={"pending": pending})
        elif self._pressed and pending < self._pressure.low_water:
            self._pressed = False
            self._source.resume()
            _log.info("intake resumes", extra={"pending": pending})

    async def _until_done(self, step: Callable[[], Awaitable[Done]], stop: asyncio.Event) -> Done:
        """Retry a step until it succeeds, with growing pauses in which no records are read.

        Unexpected errors are retried too, because the records still have to be taken in. Data errors that no offer
        causes are retried until somebody has repaired the data.

        Raises:
            SettleError: a retry does not help against this error.
            _StoppedError: `stop` is set, and the step has failed.
        """
        pause_s = limits.INTAKE_RETRY_INITIAL_S
        while True:
            try:
                done = await step()
            except RETRIED_ERRORS as error:
                _log.warning(
                    "intake waits and retries",
                    extra={"error": str(error) or type(error).__name__, "pause_s": pause_s},
                )
            except Exception as error:
                if isinstance(error, SettleError) and not isinstance(error, DataError):
                    raise
                _log.exception(
                    "intake met an unexpected error and retries; look into it, a retry may not help",
                    extra={"error": str(error) or type(error).__name__, "pause_s": pause_s},
                )
            else:
                if self._source.is_paused and not self._pressed:
                    self._source.resume()
                return done
            if stop.is_set():
                raise _StoppedError
            await self._source.wait(pause_s)
            pause_s = min(pause_s * 2, limits.INTAKE_RETRY_MAX_S)


async def _decode(records: Iterable[ConsumerRecord]) -> AsyncIterator[tuple[list[Announced], list[Poisoned]]]:
    """Decode one record after the other, and yield to the event loop now and then to let the heartbeat run.

    Decoded parts are returned as soon as they are enough for an append. This bounds memory, however much a poll
    returned.
    """
    announced: list[Announced] = []
    poisoned: list[Poisoned] = []
    yielded_s = time.monotonic()
    for record in records:
        decoded = decode_record(record.key, record.value, header_values(record.headers))
        announced += [(record, each) for each in decoded.announcements]
        poisoned += [(record, each) for each in decoded.poisons]
        if time.monotonic() - yielded_s > limits.INTAKE_DECODE_S_MAX:
            await asyncio.sleep(0)
            yielded_s = time.monotonic()
        if max(len(announced), len(poisoned)) >= limits.FREEZE_SLICE_ORDER_COUNT:
            yield announced, poisoned
            announced, poisoned = [], []
    yield announced, poisoned


def _still_to_append(orders: Sequence[OfferedOrder], refused_count: int) -> list[Sequence[OfferedOrder]]:
    """Return what to append next, after the first orders were refused together: their halves, then the rest.

    An order that was refused alone is left out.
    """
    half = refused_count // 2
    parts = [orders[:half], orders[half:refused_count] if half else [], orders[refused_count:]]
    return [part for part in parts if part]


def rounds_of(announced: Iterable[Announced]) -> list[list[Announced]]:
    """Split announcements into rounds with each order once. An order's announcements keep their sequence."""
    rounds: list[list[Announced]] = []
    seen_count: dict[str, int] = {}
    for each in announced:
        order_id = each[1].order.order_id
        round_no = seen_count.get(order_id, 0)
        seen_count[order_id] = round_no + 1
        if round_no == len(rounds):
            rounds.append([])
        rounds[round_no].append(each)
    return rounds


def _poison_of(refused: Iterable[Refused]) -> list[Poisoned]:
    """Return the poison of refused announcements, record by record."""
    by_record: dict[int, tuple[ConsumerRecord, list[Refusal]]] = {}
    for record, refusal in refused:
        by_record.setdefault(id(record), (record, []))[1].append(refusal)
    return [
        (record, poison) for record, refusals in by_record.values() for poison in poisons_of(record.value, refusals)
    ]


def _describe(poisoned: Sequence[Poisoned]) -> dict[str, object]:
    record, poison = poisoned[0]
    return {
        "count": len(poisoned),
        "first": f"{record.topic} partition {record.partition} offset {record.offset}",
        "error_class": str(poison.poison_class),
        "error": poison.message,
    }
