"""Kill the worker with the most chunks in flight and measure the cost."""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowFailureError
from temporalio.service import RPCError, RPCStatusCode

from bench.settle_processes import SettleProcesses
from bench.work_in_flight import fetch_worker_pids
from domain import limits
from domain.identifiers import chunk_workflow_id
from settlement_store.port import SettlementStore


class Kill(NamedTuple):
    """A kill, with the chunks' workflows that had work in flight on the killed worker."""

    at_fraction: float
    killed_at_s: float
    chunk_workflow_ids: tuple[str, ...]


class KillCost(NamedTuple):
    """The cost of a kill.

    `attempts_max` is 2 or more if an activity or a workflow task was retried. `cost_s` is the longest time from the
    kill until a chunk that it hit was closed.
    """

    attempts_max: int
    cost_s: float


async def kill_busiest_worker(
    client: Client, store: SettlementStore, batch_ids: Sequence[str], workers: SettleProcesses, fraction: float
) -> Kill | None:
    """Kill the worker with the most chunks of these batches in flight (SIGKILL), and start another.

    The worker is paused (SIGSTOP) and its chunks in flight are read again before the kill, so that exactly the chunks
    that the kill hits are counted. Return None if no worker had any.
    """
    in_flight = await _fetch_in_flight(client, store, batch_ids)
    busy = Counter(pid for pid in in_flight.values() if pid in workers.pids)
    if not busy:
        return None
    pid = busy.most_common(1)[0][0]
    workers.signal(pid, signal.SIGSTOP)
    in_flight = await _fetch_in_flight(client, store, batch_ids)
    hit = tuple(sorted(chunk_id for chunk_id, worker_pid in in_flight.items() if worker_pid == pid))
    if not hit:
        workers.signal(pid, signal.SIGCONT)
        return None
    workers.kill(pid)
    killed_at_s = time.time()
    workers.start("worker")
    return Kill(fraction, killed_at_s, hit)


async def fetch_kill_cost(client: Client, kill: Kill) -> KillCost:
    """Read the cost of a kill from the histories of the chunks that it hit."""
    attempts = [1]
    closed_at_s = [kill.killed_at_s]
    for chunk_id in kill.chunk_workflow_ids:
        handle = client.get_workflow_handle(chunk_id)
        try:
            await handle.result()
        except WorkflowFailureError:
            continue
        history = await handle.fetch_history()
        for event in history.events:
            attempts.append(event.activity_task_started_event_attributes.attempt)
            attempts.append(event.workflow_task_scheduled_event_attributes.attempt)
            if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT:
                # A task that the SDK had renewed for a local activity is retried as attempt 1.
                attempts.append(2)
        closed_at_s.append(history.events[-1].event_time.ToMilliseconds() / 1000)
    return KillCost(max(attempts), max(closed_at_s) - kill.killed_at_s)


async def _fetch_in_flight(client: Client, store: SettlementStore, batch_ids: Sequence[str]) -> dict[str, int]:
    """Return the worker's pid by chunk workflow id, for the chunks of these batches that have work in flight."""
    # Chunks are started in order, so the first unclosed ones are in flight. All are read concurrently, because the
    # answers are soon out of date.
    found = await asyncio.gather(
        *(store.chunks.fetch_unclosed_chunks(batch_id, -1, limits.WINDOW_DEFAULT) for batch_id in batch_ids)
    )
    chunk_ids = [
        chunk_workflow_id(batch_id, index)
        for batch_id, indexes in zip(batch_ids, found, strict=True)
        for index in indexes
    ]
    pids = await asyncio.gather(*(_fetch_pid(client, chunk_id) for chunk_id in chunk_ids))
    return {chunk_id: pid for chunk_id, pid in zip(chunk_ids, pids, strict=True) if pid}


async def _fetch_pid(client: Client, chunk_id: str) -> int | None:
    try:
        pids = await fetch_worker_pids(client, chunk_id)
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:  # not started yet
            return None
        raise
    return pids[0] if pids else None
