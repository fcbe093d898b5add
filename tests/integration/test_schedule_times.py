"""A real Temporal server fires the daily schedule as documented, after an outage and when clocks change."""

import asyncio
import itertools
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import psutil
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.workflowservice.v1 import ListScheduleMatchingTimesRequest
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleCalendarSpec,
    ScheduleRange,
    ScheduleSpec,
)
from temporalio.contrib.pydantic import pydantic_data_converter

from domain.business_days import BusinessCalendar
from domain.daily_runs import require_safe_run_time
from domain.errors import WrongCallError
from local_stack.ports import PortBook
from local_stack.temporal import TemporalServer
from runtime.settings import Settings
from schemas.wire.batches import BatchState
from settling.systems import Systems
from starters.daily_schedule import apply_schedule, delete_schedule, fetch_schedule
from starters.migrate import add_search_attributes
from tests.support.settlements import DEADLINE_S, eventually, require_clean, seed_orders
from workers.settlement_worker import build_worker
from workflows.settle_batch import SettleBatchWorkflow

# A run is missed in an outage if the schedule is applied and the server killed before it.
APPLIED_WITHIN_S = 20
START = date(2027, 1, 1)
END = date(2029, 1, 1)  # the server lists at most 1,000 times


class OwnTemporal:
    """The test's own Temporal server, which may be killed."""

    def __init__(self, directory: Path) -> None:
        self._server = TemporalServer(directory, PortBook(directory / "ports.json"), ())
        self._pid_file = directory / "run" / "temporal.json"

    async def start(self) -> Client:
        self._server.start()

        async def is_ready() -> bool:
            return await asyncio.to_thread(self._server.is_ready)

        await eventually(is_ready)
        return await Client.connect(self._server.address, data_converter=pydantic_data_converter)

    def kill(self) -> None:
        process = psutil.Process(json.loads(self._pid_file.read_text())["pid"])
        process.kill()
        process.wait(DEADLINE_S)


@pytest.fixture
def own_temporal(tmp_path: Path) -> Iterator[OwnTemporal]:
    temporal = OwnTemporal(tmp_path)
    yield temporal
    temporal.kill()


async def test_a_run_missed_in_an_outage_is_made_up_for_with_its_own_business_date(
    own_temporal: OwnTemporal, systems: Systems
) -> None:
    """The cutoff passes while Temporal is down. A batch opened with the current time would get the next date."""
    orders = await seed_orders(systems, 30)
    client = await own_temporal.start()
    await add_search_attributes(client)
    run_at = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=APPLIED_WITHIN_S)
    cutoff_at = run_at + timedelta(seconds=1)
    settings = Settings(schedule_time_local=run_at.time(), cutoff_time_local=cutoff_at.time())
    await apply_schedule(client, settings, run_at.date())
    own_temporal.kill()
    assert datetime.now(UTC) < run_at, "the machine is too slow for this test: the run was not missed"

    async def is_past_the_cutoff() -> bool:
        return datetime.now(UTC) > cutoff_at

    await eventually(is_past_the_cutoff)
    client = await own_temporal.start()
    async with build_worker(client, settings.task_queue, systems, batch_settings=settings.batch_settings):

        async def fetch_batch_id() -> str | None:
            return next((batch.batch_id for batch in await systems.store.batches.fetch_batches(2)), None)

        batch_id = await eventually(fetch_batch_id)
        result = await client.get_workflow_handle_for(SettleBatchWorkflow.run, batch_id).result()
    batch = await systems.store.batches.fetch_batch(batch_id)
    assert batch_id == f"settle-daily-{run_at:%Y-%m-%dT%H:%M:%SZ}"
    assert batch.opened_at > cutoff_at
    assert batch.cutoff_at == cutoff_at - timedelta(days=1)
    assert batch.business_date == batch.cutoff_at.date()
    assert (result.state, result.planned) == (BatchState.CLOSED, orders.planned)
    await require_clean(systems, len(orders.records))


async def fetch_fires(client: Client, schedule_id: str, run_at: time, zone: ZoneInfo) -> list[datetime]:
    """Return when the server fires a daily schedule, in local time, from START up to END."""
    calendar = ScheduleCalendarSpec(
        hour=(ScheduleRange(run_at.hour),),
        minute=(ScheduleRange(run_at.minute),),
        second=(ScheduleRange(run_at.second),),
    )
    handle = await client.create_schedule(
        schedule_id,
        Schedule(
            action=ScheduleActionStartWorkflow("NobodyRunsIt", id=schedule_id, task_queue="nobody"),
            spec=ScheduleSpec(calendars=[calendar], time_zone_name=zone.key),
        ),
    )
    request = ListScheduleMatchingTimesRequest(
        namespace=client.namespace,
        schedule_id=schedule_id,
        start_time=timestamp(datetime.combine(START, time(), zone) - timedelta(seconds=1)),
        end_time=timestamp(datetime.combine(END, time(), zone) - timedelta(seconds=1)),
    )
    found = await client.workflow_service.list_schedule_matching_times(request)
    await handle.delete()
    return [each.ToDatetime(UTC).astimezone(zone) for each in found.start_time]


def timestamp(at: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(at.astimezone(UTC))
    return stamp


@pytest.mark.parametrize(
    ("run_at", "zone", "on", "fires"),
    [
        ("02:30", "Europe/Berlin", "2027-03-28", []),
        ("02:30", "Europe/Berlin", "2027-10-31", ["02:30:00+01:00"]),
        ("01:30", "America/New_York", "2027-11-07", ["01:30:00-04:00", "01:30:00-05:00"]),
        ("00:00", "Africa/Cairo", "2027-04-30", []),
        ("02:15", "Australia/Lord_Howe", "2027-10-03", ["02:45:00+11:00"]),  # half an hour is skipped
        # 03:00 comes once, an hour before an hour that comes twice: the server fires once more than it should.
        ("01:30", "Europe/Berlin", "2027-10-31", ["01:30:00+02:00", "02:30:00+02:00"]),
    ],
)
async def test_what_the_server_does_when_the_clocks_change_is_what_the_decision_says(
    client: Client, batch_id: str, run_at: str, zone: str, on: str, fires: list[str]
) -> None:
    """Decision 0011 rests on this. With a better server, `apply` could refuse less."""
    found = await fetch_fires(client, batch_id, time.fromisoformat(run_at), ZoneInfo(zone))
    assert [each.isoformat().partition("T")[2] for each in found if each.date().isoformat() == on] == fires


@pytest.mark.parametrize(
    "zone", ["Europe/Berlin", "America/New_York", "America/Santiago", "Africa/Casablanca", "Australia/Lord_Howe"]
)
async def test_a_time_that_apply_accepts_fires_on_every_date(client: Client, batch_id: str, zone: str) -> None:
    accepted = 0
    dates = [START + timedelta(days=number) for number in range((END - START).days)]
    for hour, minute in itertools.product((0, 1, 2, 3, 6, 23), (0, 30)):
        run_at = time(hour, minute)
        calendar = BusinessCalendar(run_at, ZoneInfo(zone))
        try:
            require_safe_run_time(calendar, run_at, START)
        except WrongCallError:
            continue
        accepted += 1
        fires = await fetch_fires(client, f"{batch_id}-{hour}-{minute}", run_at, ZoneInfo(zone))
        assert {each.date() for each in fires if each.time() == run_at} == set(dates)
        assert {calendar.latest_business_date(each) for each in fires} == set(dates)
    assert 5 < accepted < 12


async def test_apply_refuses_a_time_that_would_cost_a_business_date_and_changes_nothing(
    client: Client, batch_id: str
) -> None:
    settings = Settings(task_queue=batch_id, cutoff_timezone="Europe/Berlin")
    await apply_schedule(client, settings, START)
    with pytest.raises(WrongCallError, match="2027-03-28"):
        await apply_schedule(client, settings.model_copy(update={"schedule_time_local": time(2, 30)}), START)
    assert (await fetch_schedule(client, settings)).run_time_local == time(6)
    await delete_schedule(client, settings)
