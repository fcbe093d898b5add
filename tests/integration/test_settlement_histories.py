"""Real histories have the configured timeouts and little else, however many orders a chunk has."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client

from domain.control_totals import sum_outcome_totals
from domain.errors import InvariantViolationError, UnavailableError
from domain.identifiers import chunk_workflow_id
from schemas.chunks import ChunkKey
from schemas.wire.totals import OutcomeTotals
from settling import both_steps
from settling.systems import Systems
from tests.support.settlements import (
    eventually,
    fetch_events,
    freeze,
    let_no_timeout_decide,
    of_type,
    opening_of,
    replaced,
    running_worker,
    seed_orders,
    settle,
    start_chunk_by_hand,
)
from workflows.activity_options import AT_ONCE

ORDER_PREFIX = "ORDER-"
ACCOUNT_PREFIX = "A00"

# The events of a chunk without failures.
CHUNK_EVENTS = [
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED,
    EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED,
    EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED,
    EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED,
    EventType.EVENT_TYPE_MARKER_RECORDED,  # the local activity
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED,
]
CHUNK_BYTES_MAX = 4_000
CHUNK_BYTES_FOR_MORE_CURRENCIES_MAX = 1_000  # only totals per currency may grow
BATCH_EVENTS_MAX = 25  # besides those of its chunks
BATCH_EVENTS_PER_CHUNK_MAX = 9
BATCH_BYTES_MAX = 8_000
BATCH_BYTES_PER_CHUNK_MAX = 3_000


class ActivityTimes(NamedTuple):
    """An activity's timeouts and retry policy, as stored by the server."""

    start_to_close: timedelta
    schedule_to_close: timedelta
    heartbeat: timedelta
    first_retry_after: timedelta
    retry_after_max: timedelta
    retry_backoff: float
    attempt_count_max: int = 0  # as many as there is time for
    non_retryable_error_types: Sequence[str] = ()


# A change here is a decision, not a repair of the test.
CHUNK_ACTIVITY = ActivityTimes(
    start_to_close=timedelta(minutes=2),
    schedule_to_close=timedelta(hours=24),
    heartbeat=timedelta(seconds=3),
    first_retry_after=timedelta(seconds=0.2),
    retry_after_max=timedelta(seconds=2),
    retry_backoff=2,
)
BATCH_ACTIVITY = CHUNK_ACTIVITY._replace(start_to_close=timedelta(hours=4))
CHUNK_READ_ACTIVITY = CHUNK_ACTIVITY._replace(
    start_to_close=timedelta(seconds=10),  # the server limits it to schedule-to-close
    schedule_to_close=timedelta(seconds=10),
    first_retry_after=timedelta(seconds=1),
    retry_after_max=timedelta(seconds=10),
)
ACTIVITIES = {
    "prepare_batch": BATCH_ACTIVITY,
    "close_batch": BATCH_ACTIVITY,
    "validate_chunk": CHUNK_ACTIVITY,
    "credit_chunk": CHUNK_ACTIVITY,
    "hold_chunk": CHUNK_ACTIVITY,
    "fetch_chunk_totals": CHUNK_READ_ACTIVITY,
}
WORKFLOW_TASK_TIMEOUT = timedelta(seconds=3)
STICKY_TIMEOUT = timedelta(seconds=1)
HEARTBEAT_INTERVAL = timedelta(seconds=0.5)
GRACEFUL_SHUTDOWN = timedelta(seconds=10)
LOCAL_ACTIVITY_SLOT_COUNT = 2
LOCAL_ACTIVITY_QUEUE_S = 2
LOCAL_ACTIVITY_TIMEOUT_S = 5


def times_of(events: list[HistoryEvent]) -> dict[str, ActivityTimes]:
    """Return the timeouts of the activities that a history schedules, by activity."""
    found = {}
    for event in of_type(events, EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED):
        scheduled = event.activity_task_scheduled_event_attributes
        found[scheduled.activity_type.name] = ActivityTimes(
            scheduled.start_to_close_timeout.ToTimedelta(),
            scheduled.schedule_to_close_timeout.ToTimedelta(),
            scheduled.heartbeat_timeout.ToTimedelta(),
            scheduled.retry_policy.initial_interval.ToTimedelta(),
            scheduled.retry_policy.maximum_interval.ToTimedelta(),
            scheduled.retry_policy.backoff_coefficient,
            scheduled.retry_policy.maximum_attempts,
            tuple(scheduled.retry_policy.non_retryable_error_types),
        )
    return found


async def test_every_timeout_in_the_histories_is_the_configured_one(
    client: Client, systems: Systems, batch_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch has three chunks: one ran before, one fails, and one is settled step by step."""
    await seed_orders(systems, 30)

    async def settle_chunk(*_: object, **__: object) -> OutcomeTotals:
        raise UnavailableError("A system was away.")

    monkeypatch.setattr(both_steps, "settle_chunk", settle_chunk)

    async def fetch_chunk(batch_id: str, chunk_index: int) -> object:
        if chunk_index == 1:
            raise InvariantViolationError("The chunk contradicts itself.")
        return await systems.store.chunks.fetch_chunk(batch_id, chunk_index)

    opening = opening_of(batch_id, chunk_size=10, window=3)
    await freeze(systems, opening)
    broken = replace(systems, store=replaced(systems.store, "fetch_chunk", fetch_chunk))
    async with running_worker(client, batch_id, broken) as worker:
        await (await start_chunk_by_hand(client, batch_id, opening, chunk_index=0)).result()
        await settle(client, batch_id, opening)

    batch = await fetch_events(client, batch_id)
    children = [await fetch_events(client, chunk_workflow_id(batch_id, chunk_index)) for chunk_index in range(3)]
    assert times_of(batch) | times_of(children[2]) == ACTIVITIES
    for events in (batch, *children):
        started = events[0].workflow_execution_started_event_attributes
        assert started.workflow_task_timeout.ToTimedelta() == WORKFLOW_TASK_TIMEOUT
        assert not started.workflow_execution_timeout.ToTimedelta()
        assert not started.workflow_run_timeout.ToTimedelta()
    config = worker.config()
    assert config["sticky_queue_schedule_to_start_timeout"] == STICKY_TIMEOUT
    assert config["max_heartbeat_throttle_interval"] == HEARTBEAT_INTERVAL
    assert config["default_heartbeat_throttle_interval"] == HEARTBEAT_INTERVAL
    assert config["graceful_shutdown_timeout"] == GRACEFUL_SHUTDOWN


async def test_a_chunk_that_is_not_settled_at_once_in_time_is_settled_step_by_step(
    client: Client, systems: Systems, batch_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The histories do not show a local activity's timeouts."""
    assert AT_ONCE["start_to_close_timeout"] == timedelta(seconds=LOCAL_ACTIVITY_TIMEOUT_S)
    orders = await seed_orders(systems, 20)
    opening = opening_of(batch_id, chunk_size=10, window=2)

    async def settle_chunk(*_: object, **__: object) -> OutcomeTotals:
        await asyncio.Event().wait()
        raise AssertionError("It was left to run.")

    monkeypatch.setattr(both_steps, "settle_chunk", settle_chunk)
    async with running_worker(client, batch_id, systems):
        _, result = await settle(client, batch_id, opening)
    assert result.totals.settled == orders.settled
    for chunk_index in range(2):
        events = await fetch_events(client, chunk_workflow_id(batch_id, chunk_index))
        first = of_type(events, EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED)[0]
        waited_s = (first.event_time.ToDatetime() - events[0].event_time.ToDatetime()).total_seconds()
        assert waited_s >= LOCAL_ACTIVITY_TIMEOUT_S


async def test_a_chunk_that_waits_too_long_for_a_slot_is_settled_step_by_step(
    client: Client, systems: Systems, batch_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One chunk more is started than there are slots. When one is free, it has waited for too long."""
    assert AT_ONCE["schedule_to_start_timeout"] == timedelta(seconds=LOCAL_ACTIVITY_QUEUE_S)
    let_no_timeout_decide(monkeypatch)
    orders = await seed_orders(systems, 10 * (LOCAL_ACTIVITY_SLOT_COUNT + 1))
    opening = opening_of(batch_id, chunk_size=10, window=1)
    await freeze(systems, opening)
    await systems.store.batches.set_running(batch_id)
    tried: set[int] = set()
    are_slots_free = asyncio.Event()

    async def settle_chunk(_systems: object, _turns: object, key: ChunkKey, *_: object, **__: object) -> OutcomeTotals:
        tried.add(key.chunk_index)
        await are_slots_free.wait()
        raise UnavailableError("A system was away.")

    async def are_slots_taken() -> bool:
        return len(tried) == LOCAL_ACTIVITY_SLOT_COUNT

    async def is_last_in_hand() -> bool:
        events = await fetch_events(client, last.id)
        return bool(of_type(events, EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED))

    monkeypatch.setattr(both_steps, "settle_chunk", settle_chunk)
    async with running_worker(client, batch_id, systems) as worker:
        first = [
            await start_chunk_by_hand(client, batch_id, opening, chunk_index)
            for chunk_index in range(LOCAL_ACTIVITY_SLOT_COUNT)
        ]
        await eventually(are_slots_taken)
        monkeypatch.setitem(AT_ONCE, "schedule_to_start_timeout", timedelta(microseconds=1))
        last = await start_chunk_by_hand(client, batch_id, opening, LOCAL_ACTIVITY_SLOT_COUNT)
        await eventually(is_last_in_hand)
        are_slots_free.set()
        results = [await chunk.result() for chunk in (*first, last)]
    assert sum_outcome_totals(results).settled == orders.settled
    assert worker.config()["max_concurrent_local_activities"] == LOCAL_ACTIVITY_SLOT_COUNT
    assert tried == set(range(LOCAL_ACTIVITY_SLOT_COUNT))


async def test_a_chunks_history_is_no_bigger_for_2000_orders_than_for_one_and_names_none(
    client: Client, systems: Systems, batch_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_no_timeout_decide(monkeypatch)
    await seed_orders(systems, 2_001, prefix=ORDER_PREFIX)
    opening = opening_of(batch_id, chunk_size=2_000, window=2)
    async with running_worker(client, batch_id, systems):
        await settle(client, batch_id, opening)
    big, small = [await fetch_events(client, chunk_workflow_id(batch_id, chunk_index)) for chunk_index in (0, 1)]
    batch = await fetch_events(client, batch_id)
    assert [event.event_type for event in small] == CHUNK_EVENTS
    assert [event.event_type for event in big] == CHUNK_EVENTS
    assert byte_count(big) < CHUNK_BYTES_MAX
    assert byte_count(big) - byte_count(small) < CHUNK_BYTES_FOR_MORE_CURRENCIES_MAX
    assert len(batch) <= BATCH_EVENTS_MAX + 2 * BATCH_EVENTS_PER_CHUNK_MAX
    assert byte_count(batch) < BATCH_BYTES_MAX + 2 * BATCH_BYTES_PER_CHUNK_MAX
    for event in (*batch, *big, *small):
        assert ORDER_PREFIX.encode() not in event.SerializeToString()
        assert ACCOUNT_PREFIX.encode() not in event.SerializeToString()


def byte_count(events: list[HistoryEvent]) -> int:
    return sum(event.ByteSize() for event in events)
