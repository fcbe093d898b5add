"""Killing the worker with most activities in flight, and what became of those activities."""

import signal
import time
from collections import Counter
from typing import NamedTuple

from temporalio.api.enums.v1 import PendingActivityState
from temporalio.client import Client, WorkflowFailureError
from temporalio.service import RPCError, RPCStatusCode

from bench.worker_processes import WorkerProcesses
from domain.identifiers import batch_workflow_id, chunk_workflow_id
from workflows.settle_batch import SettleBatchWorkflow


class Kill(NamedTuple):
    """What a kill hit: the chunks that had an activity in flight on the killed worker."""

    at_fraction: float
    killed_at_s: float
    chunk_indexes: tuple[int, ...]


class KillCost(NamedTuple):
    """What a kill cost.

    `attempts_max` is 2 or more when an activity had to be tried again; `cost_s` is the longest time from the kill
    until a chunk that it hit was closed.
    """

    attempts_max: int
    cost_s: float


async def kill_busiest_worker(client: Client, batch_id: str, workers: WorkerProcesses, fraction: float) -> Kill | None:
    """SIGKILL the worker with most activities in flight and start another; None if none had any just then.

    The worker is stopped (SIGSTOP) before it is counted again, so that what is counted is what the kill hits.
    """
    handle = client.get_workflow_handle_for(SettleBatchWorkflow.run, batch_workflow_id(batch_id))
    progress = await handle.query(SettleBatchWorkflow.progress)
    if not progress:
        return None
    in_flight = await _fetch_in_flight(client, batch_id, progress.chunks_in_flight)
    busy = Counter(pid for pid in in_flight.values() if pid in workers.pids)
    if not busy:
        return None
    pid = busy.most_common(1)[0][0]
    workers.signal(pid, signal.SIGSTOP)
    in_flight = await _fetch_in_flight(client, batch_id, progress.chunks_in_flight)
    hit = tuple(sorted(index for index, worker_pid in in_flight.items() if worker_pid == pid))
    if not hit:
        workers.signal(pid, signal.SIGCONT)
        return None
    workers.kill(pid)
    killed_at_s = time.time()
    workers.start()
    return Kill(fraction, killed_at_s, hit)


async def fetch_kill_cost(client: Client, batch_id: str, kill: Kill) -> KillCost:
    """Read from the histories of the chunks that a kill hit what it cost."""
    attempts = [1]
    closed_at_s = [kill.killed_at_s]
    for chunk_index in kill.chunk_indexes:
        handle = client.get_workflow_handle(chunk_workflow_id(batch_id, chunk_index))
        try:
            await handle.result()
        except WorkflowFailureError:
            continue
        history = await handle.fetch_history()
        attempts.extend(event.activity_task_started_event_attributes.attempt for event in history.events)
        closed_at_s.append(history.events[-1].event_time.ToMilliseconds() / 1000)
    return KillCost(max(attempts), max(closed_at_s) - kill.killed_at_s)


async def _fetch_in_flight(client: Client, batch_id: str, chunk_indexes: list[int]) -> dict[int, int]:
    """The worker's pid for each chunk that has a started activity."""
    in_flight = {}
    for chunk_index in chunk_indexes:
        try:
            description = await client.get_workflow_handle(chunk_workflow_id(batch_id, chunk_index)).describe()
        except RPCError as error:
            if error.status == RPCStatusCode.NOT_FOUND:  # about to be started
                continue
            raise
        for pending in description.raw_description.pending_activities:
            if pending.state == PendingActivityState.PENDING_ACTIVITY_STATE_STARTED:
                in_flight[chunk_index] = int(pending.last_worker_identity.partition("@")[0])
    return in_flight
