"""A worker that is told to stop, or is stopped, with a chunk in flight: it ends in good order, others go on."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from temporalio.api.enums.v1 import EventType, PendingActivityState, TimeoutType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError

from bench.work_in_flight import fetch_worker_pids
from domain import limits
from domain.identifiers import chunk_workflow_id
from tests.e2e.conftest import COMMAND_TIMEOUT_S, Commands
from tests.settlements import eventually, fetch_events, of_type

ORDER_COUNT = 50
BUSY_MACHINE_S = 5


@contextmanager
def slow_worker(commands: Commands, request_s: float) -> Iterator["subprocess.Popen[bytes]"]:
    """A worker whose requests to the Fund Platform take so long."""
    with (
        (commands.directory / "slow.log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.slow_worker", str(request_s)],
            env=os.environ | commands.environment,
            stdout=log,
            stderr=log,
        ) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


async def begin(commands: Commands) -> str:
    """Start a batch of one chunk; the chunk's workflow."""
    batch_id = f"b-{commands.directory.name}"
    commands.ok("sample", "orders.csv", "--orders", str(ORDER_COUNT), "--bad-rate", "0")
    commands.ok("import", "orders.csv")
    commands.ok("run", "--batch-id", batch_id)
    return chunk_workflow_id(batch_id, 0)


async def is_settling_at_once(client: Client, chunk_id: str) -> bool:
    try:
        return bool(await fetch_worker_pids(client, chunk_id))
    except RPCError:  # about to be started
        return False


async def is_crediting(handle: WorkflowHandle[object, object]) -> bool:
    try:
        description = await handle.describe()
    except RPCError:  # about to be started
        return False
    return any(
        pending.activity_type.name == "credit_chunk"
        and pending.state == PendingActivityState.PENDING_ACTIVITY_STATE_STARTED
        for pending in description.raw_description.pending_activities
    )


async def serves(commands: Commands) -> bool:
    return "serves the task queue" in (commands.directory / "worker.log").read_text()


async def require_all_settled(client: Client, commands: Commands, chunk_id: str) -> list[HistoryEvent]:
    """Require that the batch ends with all orders settled; the history of its chunk."""
    await asyncio.to_thread(commands.ok, "run", "--batch-id", f"b-{commands.directory.name}", "--wait")
    audit = json.loads(commands.ok("audit", "--json"))
    assert (audit["ok"], audit["settled"]["order_count"]) == (True, ORDER_COUNT)
    return await fetch_events(client, chunk_id)


def last_started(events: list[HistoryEvent]) -> HistoryEvent:
    """How the chunk's crediting was begun at last, if it was an activity of its own."""
    return of_type(events, EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED)[-1]


async def end(worker: "subprocess.Popen[bytes]") -> float:
    """Send SIGTERM and require exit code 0; how long it took."""
    told_s = time.monotonic()
    worker.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(worker.wait, COMMAND_TIMEOUT_S) == 0
    return time.monotonic() - told_s


async def test_a_worker_that_is_told_to_stop_finishes_what_it_can_within_its_grace(
    client: Client, commands: Commands
) -> None:
    with slow_worker(commands, limits.WORKER_GRACEFUL_SHUTDOWN_S / 3) as worker:
        chunk_id = await begin(commands)
        await eventually(lambda: is_settling_at_once(client, chunk_id))
        assert await end(worker) < limits.WORKER_GRACEFUL_SHUTDOWN_S
    with commands.worker():
        events = await require_all_settled(client, commands, chunk_id)
    assert not of_type(events, EventType.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT)
    tasks = of_type(events, EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED)
    identities = {task.workflow_task_started_event_attributes.identity for task in tasks}
    assert [identity.partition("@")[0] for identity in identities] == [str(worker.pid)]


async def test_a_chunk_that_a_worker_settles_at_once_when_it_stands_still_is_found_by_its_workflow_task(
    client: Client, commands: Commands
) -> None:
    with slow_worker(commands, limits.LOCAL_ACTIVITY_TIMEOUT_S) as worker:
        chunk_id = await begin(commands)
        await eventually(lambda: is_settling_at_once(client, chunk_id))
        worker.send_signal(signal.SIGSTOP)
        stopped_at_s = time.time()
        with commands.worker():
            events = await require_all_settled(client, commands, chunk_id)
    timed_out = of_type(events, EventType.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT)
    assert timed_out, "it was not found"
    found_after_s = timed_out[0].event_time.ToMilliseconds() / 1000 - stopped_at_s
    assert found_after_s < limits.WORKFLOW_TASK_TIMEOUT_S + BUSY_MACHINE_S


async def test_what_it_cannot_finish_it_hands_back_at_once(client: Client, commands: Commands) -> None:
    with slow_worker(commands, limits.CHUNK_ACTIVITY_TIMEOUT_S / 2) as worker:
        chunk_id = await begin(commands)
        await eventually(lambda: is_crediting(client.get_workflow_handle(chunk_id)))
        with commands.worker():
            ended_after_s = await end(worker)
            assert ended_after_s < limits.WORKER_GRACEFUL_SHUTDOWN_S + BUSY_MACHINE_S
            events = await require_all_settled(client, commands, chunk_id)
    credited = last_started(events).activity_task_started_event_attributes
    assert credited.attempt == 2
    assert not credited.last_failure.HasField("timeout_failure_info"), "it was waited for, not handed back"


async def test_the_activity_of_a_worker_that_stands_still_is_found_by_its_heartbeat(
    client: Client, commands: Commands
) -> None:
    with slow_worker(commands, limits.CHUNK_ACTIVITY_TIMEOUT_S / 2) as worker:
        chunk_id = await begin(commands)
        await eventually(lambda: is_crediting(client.get_workflow_handle(chunk_id)))
        with commands.worker():
            await eventually(partial(serves, commands))
            worker.send_signal(signal.SIGSTOP)
            stopped_at_s = time.time()
            started = last_started(await require_all_settled(client, commands, chunk_id))
            taken_over_after_s = started.event_time.ToMilliseconds() / 1000 - stopped_at_s
    credited = started.activity_task_started_event_attributes
    failure = credited.last_failure.timeout_failure_info
    assert failure.timeout_type == TimeoutType.TIMEOUT_TYPE_HEARTBEAT
    # What the stopped worker had asked for before may still be given to it, once for each of its polls.
    taken_count_max = 1 + limits.WORKER_ACTIVITY_POLL_COUNT
    assert credited.attempt <= 1 + taken_count_max
    assert taken_over_after_s < taken_count_max * (limits.HEARTBEAT_TIMEOUT_S + 1) + BUSY_MACHINE_S
