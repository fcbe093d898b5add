"""A batch's workflow task waits for more chunks to end while many are in flight, and for none while few are."""

import asyncio
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner

from domain import limits
from runtime.batch_starts import start_batch
from schemas.batches import OutcomeTotals
from settling import both_steps
from settling.systems import Systems
from tests.settlements import (
    eventually,
    fetch_events,
    of_type,
    opening_of,
    require_settled,
    running_worker,
    seed_orders,
)
from workflows import lingering, settle_batch
from workflows.lingering import linger
from workflows.settle_batch import SettleBatchWorkflow

CHUNK_COUNT = limits.WINDOW_DEFAULT + 4
LINGER_S = 0.1


def tasks_that_may_linger(events: list[HistoryEvent], window: int) -> list[float]:
    """How long each workflow task took, in seconds, that was told of an end while half a window stayed in flight."""
    started = of_type(events, EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED)
    taken = of_type(events, EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED)

    def count(event_type: "EventType.ValueType", before: HistoryEvent) -> int:
        return sum(event.event_id < before.event_id for event in of_type(events, event_type))

    took_s = []
    for (earlier, task), done in zip(pairwise(started), taken[1:], strict=True):
        asked = count(EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED, task)
        ended = count(EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED, task)
        ended_before = count(EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED, earlier)
        if ended > ended_before and 2 * (asked - ended) > window:
            took_s.append((done.event_time.ToDatetime() - task.event_time.ToDatetime()).total_seconds())
    return took_s


@pytest.mark.parametrize("window", [limits.WINDOW_DEFAULT, 6])
async def test_a_task_lingers_for_more_ends_only_at_work_and_only_while_half_of_a_window_stays_in_flight(
    client: Client, systems: Systems, batch_id: str, monkeypatch: pytest.MonkeyPatch, window: int
) -> None:
    """A smaller window than the default one is all at work, so that none of it waits for more."""
    orders = await seed_orders(systems, CHUNK_COUNT * 5)
    opening = opening_of(batch_id, chunk_size=5, window=window)
    linger_count = 0
    passes = iter([True])
    is_first_told = asyncio.Event()
    settle_chunk_for_real = both_steps.settle_chunk

    async def settle_chunk(*arguments: Any) -> OutcomeTotals:
        if not next(passes, False):
            await is_first_told.wait()
        return await settle_chunk_for_real(*arguments)

    async def is_first_taken() -> bool:
        progress = await handle.query(SettleBatchWorkflow.progress)
        return progress is not None and progress.chunk_closed_count > 0

    def count_and_linger() -> None:
        nonlocal linger_count
        linger_count += 1
        linger()

    monkeypatch.setattr(settle_batch, "linger", count_and_linger)
    monkeypatch.setattr(both_steps, "settle_chunk", settle_chunk)
    async with running_worker(client, batch_id, systems):
        handle = await start_batch(client, batch_id, opening)
        await eventually(is_first_taken)
        is_first_told.set()
        result = await handle.result()
    await require_settled(systems, result, opening, orders)
    took_s = tasks_that_may_linger(await fetch_events(client, batch_id), limits.WINDOW_DEFAULT)
    assert linger_count == len(took_s)
    assert all(task_s >= LINGER_S for task_s in took_s)
    assert bool(took_s) == (window == limits.WINDOW_DEFAULT)

    slept_s: list[float] = []
    monkeypatch.setattr(lingering, "time", SimpleNamespace(sleep=slept_s.append))
    replayer = Replayer(
        workflows=[SettleBatchWorkflow],
        workflow_runner=UnsandboxedWorkflowRunner(),
        data_converter=pydantic_data_converter,
    )
    await replayer.replay_workflow(await handle.fetch_history())
    assert (linger_count, slept_s) == (2 * len(took_s), [])
