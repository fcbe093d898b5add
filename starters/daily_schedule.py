"""The daily schedule in Temporal: its definition and the operations on it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from pydantic import AwareDatetime, BaseModel, ConfigDict
from temporalio.api.errordetails.v1 import NamespaceNotFoundFailure
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionExecutionStartWorkflow,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleCalendarSpec,
    ScheduleDescription,
    ScheduleHandle,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleRange,
    ScheduleSpec,
    ScheduleState,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.common import Priority
from temporalio.service import RPCError, RPCStatusCode

from domain import limits
from domain.daily_runs import require_safe_run_time
from domain.errors import WrongCallError
from domain.identifiers import daily_schedule_id, fairness_key, is_batch_id, scheduled_batch_id
from runtime.settings import Settings
from schemas.wire.payloads import BatchRun
from workflows.activity_options import WORKFLOW_TASK_TIMEOUT
from workflows.batch_details import SCHEDULED_STATIC_DETAILS, SCHEDULED_STATIC_SUMMARY
from workflows.search_attributes import scheduled_search_attributes
from workflows.settle_batch import SettleBatchWorkflow

# A paused or slow batch must not stop the batches of the next days, as it would with Temporal's default (SKIP).
# Claims keep each order in one of the batches that run concurrently.
_POLICY = SchedulePolicy(
    overlap=ScheduleOverlapPolicy.ALLOW_ALL, catchup_window=timedelta(seconds=limits.SCHEDULE_CATCHUP_WINDOW_S)
)


class ScheduledFire(BaseModel):
    """A future run and the batch that it will open."""

    model_config = ConfigDict(frozen=True)

    fires_at: AwareDatetime
    fires_at_local: AwareDatetime
    batch_id: str
    business_date: date
    cutoff_at: AwareDatetime


class DailySchedule(BaseModel):
    """The schedule in Temporal. `run_time_local` is None if a person gave it other times in the web UI."""

    model_config = ConfigDict(frozen=True)

    schedule_id: str
    is_paused: bool
    note: str | None
    run_time_local: time | None
    time_zone: str
    next_fires: list[ScheduledFire]


async def apply_schedule(client: Client, settings: Settings, today: date) -> bool:
    """Create the schedule, or update the existing one and keep its pause.

    Returns:
        True if it was created.

    Raises:
        WrongCallError: the run time would leave out a business date, or the task queue cannot begin batch ids.
    """
    schedule_id = daily_schedule_id(settings.task_queue)
    _require_batch_names(settings, schedule_id)
    require_safe_run_time(settings.batch_settings.calendar, settings.schedule_time_local, today)
    schedule = _schedule(settings, schedule_id, ScheduleState())

    def updated(current: ScheduleUpdateInput) -> ScheduleUpdate:
        return ScheduleUpdate(_schedule(settings, schedule_id, current.description.schedule.state))

    try:
        handle = await client.create_schedule(schedule_id, schedule)
    except ScheduleAlreadyRunningError:
        await client.get_schedule_handle(schedule_id).update(updated)
        return False
    # A new schedule catches up only on runs missed after the server first processed it. This call waits for that.
    await handle.describe()
    return True


async def fetch_schedule(client: Client, settings: Settings) -> DailySchedule:
    """Read the schedule and its next runs, with the batches that these settings give them.

    Raises:
        WrongCallError: there is no schedule.
    """
    description = await _describe(client, settings)
    spec = description.schedule.spec
    return DailySchedule(
        schedule_id=description.id,
        is_paused=description.schedule.state.paused,
        note=description.schedule.state.note,
        run_time_local=_run_time_of(spec),
        time_zone=spec.time_zone_name or "UTC",
        next_fires=[
            _fire(settings, description.id, fires_at, spec.time_zone_name or "UTC")
            for fires_at in description.info.next_action_times[: limits.SCHEDULE_FIRES_SHOWN_MAX]
        ],
    )


async def trigger_schedule(client: Client, settings: Settings) -> str | None:
    """Start a run now, even if the schedule is paused.

    A second trigger within the same second starts nothing: its batch id, and so its workflow id, is taken.

    Returns:
        The batch id, or None if Temporal does not report it in time.

    Raises:
        WrongCallError: there is no schedule.
    """
    before = _recent_batch_ids(await _describe(client, settings))
    with _required(client, settings) as handle:
        await handle.trigger()
    try:
        async with asyncio.timeout(limits.SCHEDULE_TRIGGER_TIMEOUT_S):
            while True:
                started = _recent_batch_ids(await _describe(client, settings)) - before
                if started:
                    return max(started)
                await asyncio.sleep(limits.SCHEDULE_TRIGGER_POLL_S)
    except TimeoutError:
        return None


async def delete_schedule(client: Client, settings: Settings) -> None:
    """Delete the schedule. The batches that it has started continue.

    Raises:
        WrongCallError: there is no schedule.
    """
    with _required(client, settings) as handle:
        await handle.delete()


def _schedule(settings: Settings, schedule_id: str, state: ScheduleState) -> Schedule:
    action = ScheduleActionStartWorkflow(
        SettleBatchWorkflow.run,
        BatchRun(),
        id=schedule_id,  # Temporal appends the scheduled time: see scheduled_batch_id
        task_queue=settings.task_queue,
        task_timeout=WORKFLOW_TASK_TIMEOUT,
        priority=Priority(fairness_key=fairness_key(schedule_id)),  # all scheduled batches share one fairness key
        typed_search_attributes=scheduled_search_attributes(),
        static_summary=SCHEDULED_STATIC_SUMMARY,
        static_details=SCHEDULED_STATIC_DETAILS,
    )
    spec = _daily_spec(settings.schedule_time_local, settings.cutoff_timezone)
    return Schedule(action=action, spec=spec, policy=_POLICY, state=state)


def _daily_spec(local: time, time_zone: str) -> ScheduleSpec:
    calendar = ScheduleCalendarSpec(
        hour=(ScheduleRange(local.hour),), minute=(ScheduleRange(local.minute),), second=(ScheduleRange(local.second),)
    )
    return ScheduleSpec(calendars=[calendar], time_zone_name=time_zone)


def _run_time_of(spec: ScheduleSpec) -> time | None:
    for calendar in spec.calendars:
        if calendar.hour and calendar.minute and calendar.second:
            local = time(calendar.hour[0].start, calendar.minute[0].start, calendar.second[0].start)
            if spec == _daily_spec(local, spec.time_zone_name or ""):
                return local
    return None


def _fire(settings: Settings, schedule_id: str, fires_at: datetime, time_zone: str) -> ScheduledFire:
    calendar = settings.batch_settings.calendar
    business_date = calendar.latest_business_date(fires_at)
    return ScheduledFire(
        fires_at=fires_at,
        fires_at_local=fires_at.astimezone(ZoneInfo(time_zone)),
        batch_id=scheduled_batch_id(schedule_id, fires_at),
        business_date=business_date,
        cutoff_at=calendar.cutoff_of(business_date),
    )


def _recent_batch_ids(description: ScheduleDescription) -> set[str]:
    return {
        result.action.workflow_id
        for result in description.info.recent_actions
        if isinstance(result.action, ScheduleActionExecutionStartWorkflow)
    }


def _require_batch_names(settings: Settings, schedule_id: str) -> None:
    if not is_batch_id(scheduled_batch_id(schedule_id, datetime.now(UTC))):
        raise WrongCallError(
            f"The task queue {settings.task_queue!r} cannot begin the ids of a schedule's batches. Use letters, "
            f"digits, dots, dashes and underscores, at most {limits.BATCH_ID_LENGTH_MAX} in a whole id. "
            "Nothing was changed. Set SETTLE_TASK_QUEUE to another name."
        )


async def _describe(client: Client, settings: Settings) -> ScheduleDescription:
    with _required(client, settings) as handle:
        return await handle.describe()


@contextmanager
def _required(client: Client, settings: Settings) -> Iterator[ScheduleHandle]:
    schedule_id = daily_schedule_id(settings.task_queue)
    try:
        yield client.get_schedule_handle(schedule_id)
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND or _lacks_namespace(error):
            raise
        raise WrongCallError(
            f"There is no schedule {schedule_id} in Temporal's namespace {client.namespace}. "
            "Create it with: settle schedule apply"
        ) from error


def _lacks_namespace(error: RPCError) -> bool:
    return any(detail.Is(NamespaceNotFoundFailure.DESCRIPTOR) for detail in error.grpc_status.details)
