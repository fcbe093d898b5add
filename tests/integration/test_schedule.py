"""The daily schedule on a real Temporal server: its runs settle the right orders and can be applied again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from functools import partial

import pytest
from temporalio.client import Client, ScheduleBackfill, ScheduleOverlapPolicy, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError
from temporalio.testing import ActivityEnvironment
from temporalio.worker import Worker

from activities.settlement import SettlementActivities
from domain import limits
from domain.batch_openings import BatchSettings
from domain.errors import WrongCallError
from domain.identifiers import daily_schedule_id
from runtime.settings import Settings
from schemas.orders import OrderStatus
from schemas.wire.batches import BatchSource, BatchState
from schemas.wire.payloads import BatchResult, BatchRun, ScheduledRun
from schemas.wire.reasons import ReasonCode
from settling.systems import Systems
from starters.daily_schedule import apply_schedule, delete_schedule, fetch_schedule, trigger_schedule
from tests.support.settlements import (
    CALENDAR,
    DEADLINE_S,
    NOW,
    Gate,
    eventually,
    fetch_current_details,
    fetch_events,
    fetch_run_chain,
    held,
    load_orders,
    opening_of,
    require_clean,
    seed_orders,
)
from workers.settlement_worker import build_worker
from workflows.activity_options import WORKFLOW_TASK_TIMEOUT
from workflows.batch_client import start_batch_workflow
from workflows.search_attributes import BATCH_ID, BUSINESS_DATE, SCHEDULED_AT, SOURCE
from workflows.settle_batch import SettleBatchWorkflow

TODAY = datetime.now(UTC).date()


@pytest.fixture
async def settings(client: Client, batch_id: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Settings]:
    """Settings of the test's own installation. Its schedule is applied, and deleted after the test."""
    monkeypatch.setattr(limits, "SCHEDULE_TRIGGER_TIMEOUT_S", DEADLINE_S)
    settings = Settings(task_queue=batch_id, chunk_size=20, window=2)
    await apply_schedule(client, settings, TODAY)
    yield settings
    with suppress(WrongCallError):
        await delete_schedule(client, settings)


@asynccontextmanager
async def daily_worker(client: Client, settings: Settings, systems: Systems) -> AsyncIterator[Worker]:
    async with build_worker(client, settings.task_queue, systems, batch_settings=settings.batch_settings) as worker:
        yield worker


async def trigger(client: Client, settings: Settings) -> str:
    """Start a run. Within a second of the last one, Temporal would give it the same id and start none."""
    known = daily_schedule_id(settings.task_queue)
    description = await client.get_schedule_handle(known).describe()
    if description.info.recent_actions:
        latest = description.info.recent_actions[-1].scheduled_at.replace(microsecond=0)

        async def is_another_second() -> bool:
            return datetime.now(UTC) >= latest + timedelta(seconds=1)

        await eventually(is_another_second)
    batch_id = await trigger_schedule(client, settings)
    assert batch_id
    return batch_id


def handle_of(client: Client, batch_id: str) -> WorkflowHandle[SettleBatchWorkflow, BatchResult]:
    return client.get_workflow_handle_for(SettleBatchWorkflow.run, batch_id)


async def end_of(client: Client, batch_id: str) -> BatchResult:
    async with asyncio.timeout(DEADLINE_S):
        return await handle_of(client, batch_id).result()


async def scheduled_at_of(client: Client, batch_id: str) -> datetime:
    return (await handle_of(client, batch_id).describe()).typed_search_attributes[SCHEDULED_AT]


async def test_applying_again_gives_the_schedule_the_settings_and_leaves_its_pause(
    client: Client, settings: Settings
) -> None:
    handle = client.get_schedule_handle(daily_schedule_id(settings.task_queue))
    await handle.pause(note="the ledger is being moved")
    changes = {"schedule_time_local": time(7, 30, 15), "cutoff_timezone": "Europe/Berlin"}
    assert not await apply_schedule(client, settings.model_copy(update=changes), TODAY)

    description = await handle.describe()
    assert len(description.schedule.spec.calendars) == 1
    assert description.schedule.policy.overlap.name == "ALLOW_ALL"
    assert description.schedule.policy.catchup_window == timedelta(hours=24)
    found = await fetch_schedule(client, settings)
    assert (found.run_time_local, found.time_zone) == (time(7, 30, 15), "Europe/Berlin")
    assert (found.is_paused, found.note) == (True, "the ledger is being moved")
    assert {fire.fires_at_local.time() for fire in found.next_fires} == {time(7, 30, 15)}


async def test_the_next_runs_are_shown_with_the_batches_that_they_will_open(client: Client, settings: Settings) -> None:
    changes = {"schedule_time_local": time(6), "cutoff_time_local": time(22), "cutoff_timezone": "Asia/Shanghai"}
    settings = settings.model_copy(update=changes)
    await apply_schedule(client, settings, TODAY)
    fires = (await fetch_schedule(client, settings)).next_fires
    assert len(fires) == 5
    for fire in fires:
        assert fire.fires_at_local.isoformat().endswith("T06:00:00+08:00")
        assert fire.fires_at == fire.fires_at_local
        # 06:00 in Shanghai is before the cutoff of that date at 22:00.
        assert fire.business_date == fire.fires_at_local.date() - timedelta(days=1)
        assert fire.fires_at - fire.cutoff_at == timedelta(hours=8)
        assert fire.batch_id == f"{daily_schedule_id(settings.task_queue)}-{fire.fires_at:%Y-%m-%dT%H:%M:%SZ}"
    assert [fire.business_date - fires[0].business_date for fire in fires] == [timedelta(days=n) for n in range(5)]


async def test_a_run_settles_the_overdue_orders_as_of_the_time_that_it_was_scheduled_for(
    client: Client, systems: Systems, settings: Settings
) -> None:
    orders = await seed_orders(systems, 50)
    async with daily_worker(client, settings, systems):
        batch_id = await trigger(client, settings)
        result = await end_of(client, batch_id)
        details = await fetch_current_details(client, batch_id)
    scheduled_at = await scheduled_at_of(client, batch_id)
    batch = await systems.store.batches.fetch_batch(batch_id)
    assert batch_id == f"{settings.task_queue}-daily-{scheduled_at:%Y-%m-%dT%H:%M:%SZ}"
    assert (result.batch_id, result.state, result.planned) == (batch_id, BatchState.CLOSED, orders.planned)
    assert (batch.source, batch.chunk_size, batch.window) == (BatchSource.SCHEDULE, 20, 2)
    assert batch.business_date == scheduled_at.date()
    assert batch.cutoff_at == datetime.combine(scheduled_at.date(), time(), UTC)
    audited = await require_clean(systems, len(orders.records))
    assert audited.settled == orders.settled

    [started, *_] = await fetch_events(client, batch_id)
    started_with = started.workflow_execution_started_event_attributes
    assert started_with.workflow_task_timeout.ToTimedelta() == WORKFLOW_TASK_TIMEOUT
    described = await handle_of(client, batch_id).describe()
    attributes = described.typed_search_attributes
    assert attributes[BATCH_ID] == batch_id
    assert attributes[SOURCE] == "schedule"
    assert attributes[BUSINESS_DATE] == str(batch.business_date)
    assert await described.static_summary() == "settle the orders overdue at the latest cutoff"
    assert "in the report of the batch with this workflow's id" in (await described.static_details() or "")
    assert f"before **{batch.cutoff_at:%Y-%m-%d %H:%M:%S} UTC** in chunks of **20**" in details


async def test_a_day_with_nothing_overdue_leaves_a_record_that_it_was_looked_at(
    client: Client, systems: Systems, settings: Settings
) -> None:
    async with daily_worker(client, settings, systems):
        result = await end_of(client, await trigger(client, settings))
    batch = await systems.store.batches.fetch_batch(result.batch_id)
    scheduled_at = await scheduled_at_of(client, result.batch_id)
    assert (batch.state, batch.item_count, batch.business_date) == (BatchState.CLOSED, 0, scheduled_at.date())


async def test_a_second_run_of_a_business_date_takes_what_came_since_and_nothing_twice(
    client: Client, systems: Systems, settings: Settings
) -> None:
    first_orders = await seed_orders(systems, 50)
    async with daily_worker(client, settings, systems):
        first = await end_of(client, await trigger(client, settings))
        later_orders = await seed_orders(systems, 30, seed=2, prefix="LATER-")
        second = await end_of(client, await trigger(client, settings))
    assert first.batch_id != second.batch_id
    assert (first.planned, second.planned) == (first_orders.planned, later_orders.planned)
    batches = [await systems.store.batches.fetch_batch(result.batch_id) for result in (first, second)]
    assert [batch.duplicate_count for batch in batches] == [0, 0]
    await require_clean(systems, len(first_orders.records) + len(later_orders.records))


async def test_a_rejected_order_comes_back_in_the_next_run_only_if_its_record_has_changed(
    client: Client, systems: Systems, settings: Settings
) -> None:
    orders = await seed_orders(systems, 60, bad_rate=0.3)
    disputed = next(order.record for order in orders.sample if order.reason_code is ReasonCode.ORDER_DISPUTED)
    repaired = disputed._replace(status=OrderStatus.COMPLETED)
    async with daily_worker(client, settings, systems):
        await end_of(client, await trigger(client, settings))
        unchanged = await end_of(client, await trigger(client, settings))
        await load_orders(systems, [repaired])
        changed = await end_of(client, await trigger(client, settings))
    assert unchanged.planned.order_count == 0
    assert (changed.planned.order_count, changed.totals.settled.order_count) == (1, 1)
    await require_clean(systems, len(orders.records))


async def test_a_run_starts_while_the_one_before_is_held_up_and_they_share_no_order(
    client: Client, systems: Systems, settings: Settings
) -> None:
    """Temporal's default would skip the day."""
    first_orders = await seed_orders(systems, 40)
    gate = Gate()
    blocked_id = first_orders.records[0].order_id
    blocked = replace(
        systems, order_center=held(systems.order_center, "fetch_records", gate, lambda ids: blocked_id in ids)
    )
    async with daily_worker(client, settings, blocked):
        first_id = await trigger(client, settings)
        await gate.reached()
        later_orders = await seed_orders(systems, 20, seed=2, prefix="LATER-")
        second = await end_of(client, await trigger(client, settings))
        first_state = (await systems.store.batches.fetch_batch(first_id)).state
        await gate.open()
        first = await end_of(client, first_id)
    assert first_state == BatchState.RUNNING
    assert (first.planned, second.planned) == (first_orders.planned, later_orders.planned)
    await require_clean(systems, len(first_orders.records) + len(later_orders.records))


async def test_a_run_waits_for_room_while_too_many_batches_are_open(
    client: Client, systems: Systems, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "UNCLOSED_BATCH_COUNT_MAX", 1)
    by_hand = opening_of(f"{settings.task_queue}-by-hand", chunk_size=20, window=2)
    await systems.store.filling.open_batch(by_hand)
    async with daily_worker(client, settings, systems):
        batch_id = await trigger(client, settings)

        async def failure_of_opening() -> str | None:
            raw = (await handle_of(client, batch_id).describe()).raw_description
            return next((each.last_failure.message for each in raw.pending_activities if each.attempt > 1), None)

        assert by_hand.batch_id in await eventually(failure_of_opening)
        await (await start_batch_workflow(client, settings.task_queue, by_hand)).result()
        assert (await end_of(client, batch_id)).state == BatchState.CLOSED


async def test_a_long_scheduled_batch_goes_on_in_new_runs_with_the_opening_that_it_got(
    client: Client, systems: Systems, settings: Settings
) -> None:
    settings = settings.model_copy(update={"chunk_size": 2})
    orders = await seed_orders(systems, 60)
    async with daily_worker(client, settings, systems):
        batch_id = await trigger(client, settings)
        result = await end_of(client, batch_id)
    assert result.planned == orders.planned
    description = await client.get_schedule_handle(daily_schedule_id(settings.task_queue)).describe()
    [action] = description.info.recent_actions
    chain = await fetch_run_chain(client, batch_id, action.action.first_execution_run_id)  # type: ignore[attr-defined]
    assert len(chain) > 1
    await require_clean(systems, len(orders.records))


async def test_a_retried_opening_keeps_what_was_stored_whatever_the_settings_say_by_then(systems: Systems) -> None:
    run = ScheduledRun(batch_id="settle-daily-2026-11-22T06:00:00Z", scheduled_at=NOW)

    async def open_with(batch_settings: BatchSettings) -> object:
        activities = SettlementActivities(systems, batch_settings=batch_settings)
        return await ActivityEnvironment().run(activities.open_scheduled_batch, run)

    first = await open_with(BatchSettings(CALENDAR, chunk_size=20, window=2))
    later = BatchSettings(CALENDAR._replace(cutoff_time_local=time(6)), chunk_size=50, window=4)
    assert await open_with(later) == first
    [batch] = await systems.store.batches.fetch_batches(2)
    assert (batch.chunk_size, batch.cutoff_at) == (20, datetime(2026, 11, 22, tzinfo=UTC))


async def test_a_workflow_started_by_hand_without_an_opening_fails_with_a_sentence(
    client: Client, systems: Systems, settings: Settings
) -> None:
    async with daily_worker(client, settings, systems):
        handle = await client.start_workflow(
            SettleBatchWorkflow.run, BatchRun(), id=f"{settings.task_queue}-by-hand", task_queue=settings.task_queue
        )
        with pytest.raises(WorkflowFailureError) as failed:
            await handle.result()
    assert isinstance(failed.value.cause, ApplicationError)
    assert failed.value.cause.non_retryable
    assert "Start batches with Settle's own commands or its schedule" in str(failed.value.cause)
    assert await systems.store.batches.fetch_batches(1) == []


async def backfill(client: Client, settings: Settings, first: date, last: date) -> list[str]:
    """Backfill the runs of some days, as a person may do in the web UI. Return their batch ids."""
    schedule_id = daily_schedule_id(settings.task_queue)
    start_at, end_at = (datetime.combine(day, settings.schedule_time_local, UTC) for day in (first, last))
    whole_days = ScheduleBackfill(start_at - timedelta(seconds=1), end_at, overlap=ScheduleOverlapPolicy.ALLOW_ALL)
    await client.get_schedule_handle(schedule_id).backfill(whole_days)
    day_count = (last - first).days + 1
    return [f"{schedule_id}-{start_at + timedelta(days=day):%Y-%m-%dT%H:%M:%SZ}" for day in range(day_count)]


async def test_a_backfill_of_days_to_come_opens_no_batch_and_says_why(
    client: Client, systems: Systems, settings: Settings
) -> None:
    await seed_orders(systems, 20)
    async with daily_worker(client, settings, systems):
        batch_ids = await backfill(client, settings, TODAY + timedelta(days=2), TODAY + timedelta(days=5))
        for batch_id in batch_ids:
            await eventually(partial(is_known, client, batch_id))
            with pytest.raises(WorkflowFailureError) as failed:
                await end_of(client, batch_id)
            refusal = failed.value.cause.__cause__
            assert isinstance(refusal, ApplicationError)
            assert refusal.non_retryable
            assert f"Batch {batch_id} was not opened: its cutoff" in refusal.message
    assert await systems.store.batches.fetch_batches(1) == []
    await require_clean(systems, 0)


async def test_a_backfill_of_past_days_settles_what_was_overdue_then(
    client: Client, systems: Systems, settings: Settings
) -> None:
    orders = await seed_orders(systems, 20)
    async with daily_worker(client, settings, systems):
        batch_ids = await backfill(client, settings, TODAY - timedelta(days=4), TODAY - timedelta(days=1))
        for batch_id in batch_ids:
            await eventually(partial(is_known, client, batch_id))
            assert (await end_of(client, batch_id)).state == BatchState.CLOSED
    await require_clean(systems, len(orders.records))


async def is_known(client: Client, batch_id: str) -> bool:
    try:
        await handle_of(client, batch_id).describe()
    except RPCError:
        return False
    return True


async def test_deleting_the_schedule_lets_its_batches_go_on(
    client: Client, systems: Systems, settings: Settings
) -> None:
    orders = await seed_orders(systems, 20)
    batch_id = await trigger(client, settings)
    await delete_schedule(client, settings)
    for call in (fetch_schedule, trigger_schedule, delete_schedule):
        with pytest.raises(WrongCallError, match=r"There is no schedule .*settle schedule apply"):
            await call(client, settings)
    async with daily_worker(client, settings, systems):
        assert (await end_of(client, batch_id)).planned == orders.planned
