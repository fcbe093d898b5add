"""Intake's memory and concurrency are bounded for any poll, and a failure loses and stops nothing."""

import asyncio
import json
import math
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, time
from typing import Any, cast
from unittest.mock import Mock
from zoneinfo import ZoneInfo

import pytest
from aiokafka.errors import KafkaConnectionError

from domain import limits
from domain.batch_openings import BatchSettings
from domain.business_days import BusinessCalendar
from domain.errors import BatchNotFoundError, DataError, UnansweredError, UnavailableError
from messaging.dead_letter import DeadLetterTopic
from messaging.decoding import Poison, PoisonClass
from messaging.intake import Intake, PressureSettings
from messaging.record_source import Polled, RecordSource
from schemas.batches import AppendResult, Batch
from schemas.items import OfferedOrder
from schemas.wire.batches import BatchOpening, BatchState
from settling.intake_filling import BatchFilling, FillingSettings
from tests.doubles.settlement_store import MemorySettlementStore
from tests.doubles.settlement_store.filling import MemoryFilling
from tests.doubles.settlement_store.store_state import StoreState
from tests.support.malformed_records import GOOD
from tests.support.settlements import replaced

PRESSURE = PressureSettings(high_water=100, low_water=50, batch_stuck_s=60)
FILLING = FillingSettings(
    "test", BatchSettings(BusinessCalendar(time(0), ZoneInfo("UTC")), chunk_size=100, window=1), 1_000, 5
)


class Record:
    """The parts of a consumed record that intake needs."""

    def __init__(self, value: bytes, offset: int) -> None:
        self.topic, self.partition, self.offset = "orders.overdue", 0, offset
        self.key, self.value, self.headers, self.timestamp = None, value, (), 1


class OnePoll:
    """A source that returns records once and then makes intake stop."""

    is_paused = False

    def __init__(self, values: Sequence[bytes], stop: asyncio.Event) -> None:
        self._polled: Polled | None = Polled([Record(value, offset) for offset, value in enumerate(values)], 0)
        self._stop = stop
        self.durable_count = 0

    async def poll(self, _timeout_s: float) -> Polled | None:
        polled, self._polled = self._polled, None
        self._stop.set()
        return polled

    def mark_durable(self, polled: Polled) -> None:
        self.durable_count += len(polled.records)

    async def commit(self) -> None:
        pass


class CountingTopic:
    """Counts what is written at a time."""

    def __init__(self) -> None:
        self.counts: list[int] = []

    async def send(self, poisoned: Sequence[Any]) -> None:
        self.counts.append(len(poisoned))


class KeepingTopic:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.sent: list[tuple[Any, Poison]] = []

    async def send(self, poisoned: Sequence[tuple[Any, Poison]]) -> None:
        self.sent += poisoned


class PressedSource:
    """A source without records that makes intake stop after some polls, and notes when it was paused."""

    def __init__(self, poll_count: int, stop: asyncio.Event) -> None:
        self._left = poll_count
        self._stop = stop
        self.is_paused = False
        self.was_paused: list[bool] = []

    async def poll(self, _timeout_s: float) -> None:
        self.was_paused.append(self.is_paused)
        self._left -= 1
        if not self._left:
            self._stop.set()

    async def commit(self) -> None:
        pass

    def pause(self) -> None:
        self.is_paused = True

    def resume(self) -> None:
        self.is_paused = False

    async def wait(self, _seconds: float) -> None:
        self.is_paused = True


def pressed_store(backlogs: Sequence[int]) -> MemorySettlementStore:
    """Return a store that reports these backlogs, one after another."""
    left = list(backlogs)

    async def fetch_backlog_order_count(active_within_s: float) -> int:
        assert active_within_s == PRESSURE.batch_stuck_s
        return left.pop(0)

    return replaced(MemorySettlementStore(), "fetch_backlog_order_count", fetch_backlog_order_count)


async def never_start(_: BatchOpening) -> None:
    raise AssertionError


async def start_nothing(_: BatchOpening) -> None:
    pass


def event_of(order_id: str) -> bytes:
    return json.dumps(GOOD | {"order_id": order_id}).encode()


async def test_dead_letters_are_written_some_at_a_time() -> None:
    """All of them in one time limit might be too many, and then they would be too many forever."""
    count_in_each = limits.BULK_EVENT_ELEMENT_COUNT_MAX
    junk = b"[" + b",".join([b"0"] * count_in_each) + b"]"
    stop = asyncio.Event()
    source, topic = OnePoll([junk] * 3, stop), CountingTopic()
    store = MemorySettlementStore()
    filling = BatchFilling(store, never_start, FILLING)
    intake = Intake(cast("RecordSource", source), store, filling, cast("DeadLetterTopic", topic), PRESSURE)
    await intake.run(stop)
    assert sum(topic.counts) == 3 * count_in_each
    assert max(topic.counts) <= limits.DEAD_LETTER_SEND_COUNT
    assert source.durable_count == 3


FORESEEN = [UnavailableError, UnansweredError, KafkaConnectionError]
NOT_FORESEEN = [DataError, KeyError, ValueError, OSError]


@pytest.mark.parametrize("error", FORESEEN + NOT_FORESEEN, ids=lambda error: error.__name__)
async def test_whatever_a_step_fails_with_it_is_tried_again_and_a_bug_is_logged_as_one(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: type[Exception]
) -> None:
    monkeypatch.setattr(limits, "INTAKE_RETRY_INITIAL_S", 0)
    stop = asyncio.Event()
    source = PressedSource(2, stop)
    failures = [error("cut")]

    async def fetch(active_within_s: float) -> int:
        if failures:
            raise failures.pop()
        return 0

    store = replaced(MemorySettlementStore(), "fetch_backlog_order_count", fetch)
    filling = BatchFilling(store, never_start, FILLING)
    intake = Intake(cast("RecordSource", source), store, filling, cast("DeadLetterTopic", CountingTopic()), PRESSURE)
    await intake.run(stop)
    assert failures == []
    [told] = caplog.records
    assert (told.levelname, bool(told.exc_info)) == (("ERROR", True) if error in NOT_FORESEEN else ("WARNING", False))


async def test_an_error_that_no_retry_helps_against_ends_intake() -> None:
    stop = asyncio.Event()
    source = PressedSource(2, stop)

    async def fetch(active_within_s: float) -> int:
        raise BatchNotFoundError("It is gone.")

    store = replaced(MemorySettlementStore(), "fetch_backlog_order_count", fetch)
    filling = BatchFilling(store, never_start, FILLING)
    intake = Intake(cast("RecordSource", source), store, filling, cast("DeadLetterTopic", CountingTopic()), PRESSURE)
    with pytest.raises(BatchNotFoundError):
        await intake.run(stop)


class OnePollThenStop(OnePoll):
    """A source that returns records once. The poll after it makes intake stop."""

    wait_count = 0

    async def poll(self, _timeout_s: float) -> Polled | None:
        polled, self._polled = self._polled, None
        if not polled:
            self._stop.set()
        return polled

    async def wait(self, _seconds: float) -> None:
        self.wait_count += 1


class RefusingFilling(MemoryFilling):
    """Cannot take some orders, and stores nothing of a call with one of them."""

    def __init__(self, state: StoreState, refused_ids: Collection[str]) -> None:
        super().__init__(state)
        self._refused_ids = refused_ids
        self.append_count = 0

    async def append_orders(self, batch_id: str, orders: Sequence[OfferedOrder]) -> AppendResult:
        self.append_count += 1
        if any(order.order_id in self._refused_ids for order in orders):
            raise DataError("The store cannot take these data.")
        return await super().append_orders(batch_id, orders)


class RefusingStore(MemorySettlementStore):
    """A store whose filling refuses some orders."""

    def __init__(self, refused_ids: Collection[str]) -> None:
        super().__init__()
        self.filling: RefusingFilling = RefusingFilling(self.state, refused_ids)


def intake_of(
    values: Sequence[bytes], store: MemorySettlementStore, settings: FillingSettings = FILLING
) -> tuple[asyncio.Event, OnePollThenStop, KeepingTopic, Intake]:
    stop = asyncio.Event()
    source, topic = OnePollThenStop(values, stop), KeepingTopic()
    filling = BatchFilling(store, start_nothing, settings)
    intake = Intake(cast("RecordSource", source), store, filling, cast("DeadLetterTopic", topic), PRESSURE)
    return stop, source, topic, intake


@pytest.mark.parametrize("refused", [[0], [499], [999], [3, 4, 700], list(range(1_000))], ids=len)
@pytest.mark.parametrize("batch_order_count_max", [1_000, 30])
async def test_orders_that_the_store_refuses_are_dead_lettered_and_others_are_taken_in(
    refused: list[int], batch_order_count_max: int
) -> None:
    order_ids = [f"O-{number}" for number in range(1_000)]
    store = RefusingStore({order_ids[number] for number in refused})
    settings = FILLING._replace(batch_order_count_max=batch_order_count_max)
    stop, source, topic, intake = intake_of([event_of(order_id) for order_id in order_ids], store, settings)
    await intake.run(stop)
    assert [record.offset for record, _ in topic.sent] == refused
    assert {poison.poison_class for _, poison in topic.sent} == {PoisonClass.STORE_REFUSED}
    [message] = {poison.message.replace(order_ids[record.offset], "O") for record, poison in topic.sent}
    assert message == "Order O was refused. The store cannot take these data."
    taken = sum(batch.item_count for batch in await store.batches.fetch_batches(1_000))
    assert taken == 1_000 - len(refused)
    assert source.durable_count == 1_000


async def test_one_order_that_the_store_refuses_costs_no_more_calls_than_halving_takes() -> None:
    store = RefusingStore({"O-700"})
    stop, _, _, intake = intake_of([event_of(f"O-{number}") for number in range(1_000)], store)
    await intake.run(stop)
    assert store.filling.append_count <= 2 * math.ceil(math.log2(1_000)) + 1


async def test_of_a_bulk_event_only_the_element_that_the_store_refuses_is_dead_lettered() -> None:
    store = RefusingStore({"O-2"})
    bulk = b"[" + b",".join(event_of(f"O-{number}") for number in range(5)) + b"]"
    stop, source, topic, intake = intake_of([bulk], store)
    await intake.run(stop)
    [(_, poison)] = topic.sent
    assert (poison.element_index, json.loads(poison.element or b"")["order_id"]) == (2, "O-2")
    [batch] = await store.batches.fetch_batches(1)
    assert (batch.item_count, source.durable_count) == (4, 1)


async def test_however_many_orders_the_store_refuses_intake_keeps_its_membership(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "INTAKE_POLL_S", 0)
    order_ids = [f"O-{number}" for number in range(100)]
    stop, source, topic, intake = intake_of(list(map(event_of, order_ids)), RefusingStore(order_ids))
    await intake.run(stop)
    assert len(topic.sent) == 100
    assert source.wait_count >= 100


async def test_intake_that_is_told_to_stop_looks_for_no_more_refused_orders() -> None:
    stop, store, topic = asyncio.Event(), RefusingStore({"O-0"}), KeepingTopic()
    source = OnePoll([event_of("O-0"), event_of("O-1")], stop)
    filling = BatchFilling(store, start_nothing, FILLING)
    intake = Intake(cast("RecordSource", source), store, filling, cast("DeadLetterTopic", topic), PRESSURE)
    await intake.run(stop)
    assert (store.filling.append_count, topic.sent, source.durable_count) == (1, [], 0)


async def test_an_order_that_comes_again_and_again_does_not_keep_intake_from_ending() -> None:
    stop = asyncio.Event()
    source = OnePoll([json.dumps(GOOD).encode()] * (limits.INTAKE_ROUND_COUNT_AFTER_STOP * 2), stop)
    store = MemorySettlementStore()
    filling = BatchFilling(store, never_start, FILLING)
    intake = Intake(cast("RecordSource", source), store, filling, cast("DeadLetterTopic", CountingTopic()), PRESSURE)
    await intake.run(stop)
    [batch] = await store.batches.fetch_batches(1)
    assert batch.item_count + batch.duplicate_count == limits.INTAKE_ROUND_COUNT_AFTER_STOP
    assert source.durable_count == 0


async def test_a_batch_has_no_more_chunks_than_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHUNK_COUNT_MAX", 2)
    filling = BatchFilling(MemorySettlementStore(), never_start, FILLING)
    appended = await filling.append([OfferedOrder(f"{number:03d}", "a", 1, "USD") for number in range(300)])
    assert appended.offer_count == 2 * FILLING.batch_settings.chunk_size


async def test_intake_pauses_over_the_high_water_mark_and_resumes_under_the_low_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "INTAKE_PRESSURE_LOOK_S", 0)
    looks = {0: False, 100: False, 101: True, 60: True, 50: True, 49: False, 99: False}
    stop = asyncio.Event()
    source, store = PressedSource(len(looks) + 1, stop), pressed_store([*looks, 0])
    filling = BatchFilling(store, never_start, FILLING)
    intake = Intake(cast("RecordSource", source), store, filling, cast("DeadLetterTopic", CountingTopic()), PRESSURE)
    await intake.run(stop)
    assert source.was_paused == [False, *looks.values()]


class ForgetfulFilling(MemoryFilling):
    """Opens a batch and, the first time, does not answer."""

    has_answered = False

    async def open_batch(self, opening: BatchOpening) -> Batch:
        batch = await super().open_batch(opening)
        if not self.has_answered:
            self.has_answered = True
            raise UnansweredError("The answer was lost.")
        return batch


async def test_a_batch_opened_without_an_answer_is_filled_and_not_left_behind_empty(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Mock()
    clock.now.side_effect = [datetime(2026, 11, 22, hour, tzinfo=UTC) for hour in (6, 7)]
    monkeypatch.setattr("settling.intake_filling.datetime", clock)
    store = MemorySettlementStore()
    store.filling = ForgetfulFilling(store.state)
    filling = BatchFilling(store, never_start, FILLING)
    with pytest.raises(UnansweredError):
        await filling.append([OfferedOrder("order-1", "a", 1, "USD")])
    await filling.append([OfferedOrder("order-1", "a", 1, "USD")])
    [batch] = await store.batches.fetch_batches(10)
    assert len(await store.orders.fetch_items_of_order("order-1")) == 1
    assert batch.state == BatchState.OPEN
