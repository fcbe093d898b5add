"""A worker that is stopped with a chunk in flight ends gracefully, and other workers continue its work."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from temporalio.api.enums.v1 import EventType, PendingActivityState, TimeoutType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError

from bench.work_in_flight import fetch_worker_pids
from domain.identifiers import chunk_workflow_id
from tests.e2e.conftest import COMMAND_TIMEOUT_S, Commands
from tests.support.settlements import eventually, fetch_events, of_type

ORDER_COUNT = 50
PATIENCE_S = 1_200  # longer than any machine needs for a test


@contextmanager
def slow_worker(commands: Commands, **bounds_s: float) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a worker with the test's own bounds. Its requests to the Fund Platform wait until they are let go."""
    held_by(commands).touch()
    with (
        (commands.directory / "slow.log").open("wb") as log,
        subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.e2e.slow_worker", str(held_by(commands))),
                *(f"{name}={bound_s}" for name, bound_s in bounds_s.items()),
            ],
            env=os.environ | commands.environment,
            stdout=log,
            stderr=log,
        ) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def held_by(commands: Commands) -> Path:
    """Return the path of the file that holds the slow worker's requests while it exists."""
    return commands.directory / "held"


async def begin(commands: Commands) -> str:
    """Start a batch of one chunk and return the chunk's workflow."""
    batch_id = f"b-{os.getpid()}-{commands.directory.name}"
    commands.ok("sample", "orders.csv", "--orders", str(ORDER_COUNT), "--bad-rate", "0")
    commands.ok("import", "orders.csv")
    commands.ok("run", "--batch-id", batch_id)
    return chunk_workflow_id(batch_id, 0)


async def is_settling_at_once(client: Client, chunk_id: str) -> bool:
    try:
        return bool(await fetch_worker_pids(client, chunk_id))
    except RPCError:  # not started yet
        return False


async def is_crediting(handle: WorkflowHandle[object, object]) -> bool:
    try:
        description = await handle.describe()
    except RPCError:  # not started yet
        return False
    return any(
        pending.activity_type.name == "credit_chunk"
        and pending.state == PendingActivityState.PENDING_ACTIVITY_STATE_STARTED
        for pending in description.raw_description.pending_activities
    )


async def says(commands: Commands, log_name: str, text: str) -> bool:
    return text in (commands.directory / f"{log_name}.log").read_text()


async def require_all_settled(client: Client, commands: Commands, chunk_id: str) -> list[HistoryEvent]:
    """Require that the batch ends with all orders settled. Return the history of its chunk."""
    await asyncio.to_thread(commands.ok, "run", "--batch-id", f"b-{os.getpid()}-{commands.directory.name}", "--wait")
    audit = json.loads(commands.ok("audit", "--json"))
    assert (audit["ok"], audit["settled"]["order_count"]) == (True, ORDER_COUNT)
    return await fetch_events(client, chunk_id)


def last_started(events: list[HistoryEvent]) -> HistoryEvent:
    """Return the last start of the chunk's crediting, if it was a separate activity."""
    return of_type(events, EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED)[-1]


async def end(worker: "subprocess.Popen[bytes]") -> None:
    """Send SIGTERM and require exit code 0."""
    worker.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(worker.wait, COMMAND_TIMEOUT_S) == 0


async def test_a_worker_that_is_told_to_stop_finishes_what_it_can_within_its_grace(
    client: Client, commands: Commands
) -> None:
    grace = {"LOCAL_ACTIVITY_TIMEOUT_S": PATIENCE_S, "WORKER_GRACEFUL_SHUTDOWN_S": PATIENCE_S}
    with slow_worker(commands, **grace) as worker:
        chunk_id = await begin(commands)
        await eventually(lambda: is_settling_at_once(client, chunk_id))
        ending = asyncio.create_task(end(worker))
        await eventually(partial(says, commands, "slow", "worker is shutting down"))
        held_by(commands).unlink()
        await ending
    with commands.worker():
        events = await require_all_settled(client, commands, chunk_id)
    tasks = of_type(events, EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED)
    identities = {task.workflow_task_started_event_attributes.identity for task in tasks}
    assert [identity.partition("@")[0] for identity in identities] == [str(worker.pid)]


async def test_a_chunk_settled_at_once_by_a_worker_that_stands_still_is_found_by_its_task(
    client: Client, commands: Commands
) -> None:
    with slow_worker(commands, LOCAL_ACTIVITY_TIMEOUT_S=PATIENCE_S) as worker:
        chunk_id = await begin(commands)
        await eventually(lambda: is_settling_at_once(client, chunk_id))
        worker.send_signal(signal.SIGSTOP)
        with commands.worker():
            events = await require_all_settled(client, commands, chunk_id)
    timed_out = of_type(events, EventType.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT)
    assert timed_out, "it was not found"
    assert (
        timed_out[-1].workflow_task_timed_out_event_attributes.timeout_type == TimeoutType.TIMEOUT_TYPE_START_TO_CLOSE
    )


async def test_what_it_cannot_finish_it_hands_back_at_once(client: Client, commands: Commands) -> None:
    with slow_worker(commands, HEARTBEAT_TIMEOUT_S=PATIENCE_S) as worker:
        chunk_id = await begin(commands)
        await eventually(lambda: is_crediting(client.get_workflow_handle(chunk_id)))
        with commands.worker():
            await end(worker)
            events = await require_all_settled(client, commands, chunk_id)
    credited = last_started(events).activity_task_started_event_attributes
    assert credited.attempt == 2
    assert not credited.last_failure.HasField("timeout_failure_info"), "it was waited for, not handed back"


async def test_the_activity_of_a_worker_that_stands_still_is_found_by_its_heartbeat(
    client: Client, commands: Commands
) -> None:
    with slow_worker(commands) as worker:
        chunk_id = await begin(commands)
        await eventually(lambda: is_crediting(client.get_workflow_handle(chunk_id)))
        with commands.worker():
            await eventually(partial(says, commands, "worker", "serves the task queue"))
            worker.send_signal(signal.SIGSTOP)
            started = last_started(await require_all_settled(client, commands, chunk_id))
    credited = started.activity_task_started_event_attributes
    failure = credited.last_failure.timeout_failure_info
    assert failure.timeout_type == TimeoutType.TIMEOUT_TYPE_HEARTBEAT
