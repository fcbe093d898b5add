"""What intake holds and does at a time is bounded, whatever a poll came to."""

import asyncio
import json
from collections.abc import Sequence
from datetime import time
from typing import Any, cast
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from domain import limits
from domain.batch_openings import BatchSettings
from domain.business_days import BusinessCalendar
from messaging.batch_filling import BatchFilling, FillingSettings
from messaging.dead_letter import DeadLetterTopic
from messaging.intake import Intake, PressureSettings
from messaging.record_source import Polled, RecordSource
from schemas.batches import BatchOpening, OfferedOrder
from tests.doubles.settlement_store import MemorySettlementStore
from tests.malformed_records import GOOD
from tests.settlements import replaced

PRESSURE = PressureSettings(high_water=100, low_water=50, batch_stuck_s=60)
FILLING = FillingSettings(
    "test", BatchSettings(BusinessCalendar(time(0), ZoneInfo("UTC")), chunk_size=100, window=1), 1_000, 5
)


class Record:
    """A consumed record, as far as intake needs one."""

    def __init__(self, value: bytes, offset: int) -> None:
        self.topic, self.partition, self.offset = "orders.overdue", 0, offset
        self.key, self.value, self.headers, self.timestamp = None, value, (), 1


class OnePoll:
    """A source that gives out records once, and then tells intake to stop."""

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


class PressedSource:
    """A source without records that tells intake to stop after some polls, and keeps when it was paused."""

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
    """A store whose backlog is as told, one look after the other."""
    left = list(backlogs)

    async def fetch_backlog_order_count(active_within_s: float) -> int:
        assert active_within_s == PRESSURE.batch_stuck_s
        return left.pop(0)

    return replaced(MemorySettlementStore(), "fetch_backlog_order_count", fetch_backlog_order_count)


async def never_start(_: BatchOpening) -> None:
    raise AssertionError


async def test_dead_letters_are_written_some_at_a_time() -> None:
    """All of them in one time limit could be too many, and then they would be for good."""
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


@pytest.mark.parametrize("error", [asyncpg.InternalClientError, asyncpg.InterfaceError, OSError], ids=str)
async def test_a_connection_that_is_cut_at_any_moment_does_not_end_intake(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
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
