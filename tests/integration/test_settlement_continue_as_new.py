"""A batch whose workflow continues as new every few chunks repeats, loses and shortens nothing.

The test server suggests continuing as new after 100 events, the real one after 4,096. The batches have enough chunks
and small enough windows to reach 100 events, however many share a workflow task: a chunk in a window of one makes at
least six events, and a bigger window makes three per chunk and three more for all its chunks together.
"""

from collections import Counter

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client, WorkflowExecutionStatus

from domain.identifiers import chunk_workflow_id
from schemas.wire.batches import BatchState
from schemas.wire.payloads import BatchRun
from settling.systems import Systems
from tests.support.settlements import (
    fetch_chunk_runs,
    fetch_current_details,
    fetch_events,
    fetch_run_chain,
    let_no_timeout_decide,
    of_type,
    opening_of,
    require_clean,
    require_settled,
    running_worker,
    seed_orders,
    settle,
)
from workflows.batch_details import static_details
from workflows.search_attributes import BATCH_STATE

ORDERS_PER_CHUNK = 3

CHILD_CLOSED = {
    EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED,
    EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_FAILED,
    EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_CANCELED,
    EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TIMED_OUT,
    EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TERMINATED,
    EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_FAILED,
}


def children_started(run: list[HistoryEvent]) -> list[str]:
    """Return the ids of the child workflows that a run started."""
    return [
        event.start_child_workflow_execution_initiated_event_attributes.workflow_id
        for event in of_type(run, EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED)
    ]


@pytest.mark.parametrize(("chunk_count", "window", "run_count_min"), [(24, 1, 2), (72, 5, 3)])
async def test_a_batch_that_often_continues_as_new_drops_repeats_and_ends_no_chunk(
    client: Client,
    systems: Systems,
    batch_id: str,
    monkeypatch: pytest.MonkeyPatch,
    chunk_count: int,
    window: int,
    run_count_min: int,
) -> None:
    let_no_timeout_decide(monkeypatch)
    orders = await seed_orders(systems, chunk_count * ORDERS_PER_CHUNK, seed=window)
    opening = opening_of(batch_id, chunk_size=ORDERS_PER_CHUNK, window=window)
    chunk_ids = [chunk_workflow_id(batch_id, chunk_index) for chunk_index in range(chunk_count)]
    async with running_worker(client, batch_id, systems):
        handle, result = await settle(client, batch_id, opening)

    await require_settled(systems, result, opening, orders)
    await require_clean(systems, len(orders.records))
    assert handle.first_execution_run_id is not None
    runs = await fetch_run_chain(client, batch_id, handle.first_execution_run_id)
    assert len(runs) >= run_count_min
    for run in runs[:-1]:
        assert run[-1].event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW
        closed = [event for event in run[:-1] if event.event_type in CHILD_CLOSED]
        assert len(children_started(run)) == len(closed)
        assert {event.event_type for event in closed} == {EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED}
    assert sorted(child for run in runs for child in children_started(run)) == chunk_ids

    assert await fetch_chunk_runs(client, batch_id, chunk_count) == Counter(
        (chunk_id, WorkflowExecutionStatus.COMPLETED) for chunk_id in chunk_ids
    )
    for chunk_id in chunk_ids:
        events = await fetch_events(client, chunk_id)
        assert len(of_type(events, EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED)) == 1
        assert not of_type(events, EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED)


async def test_continuing_as_new_keeps_timeout_search_attributes_and_details(
    client: Client, systems: Systems, batch_id: str
) -> None:
    await seed_orders(systems, 60)
    opening = opening_of(batch_id, chunk_size=2, window=2)
    async with running_worker(client, batch_id, systems):
        handle, _ = await settle(client, batch_id, opening)
        details = await fetch_current_details(client, batch_id)
    assert "**closed**: 30 of 30 chunks closed" in details
    assert static_details(opening) in details
    first, *continued = await fetch_run_chain(client, batch_id, handle.first_execution_run_id or "")
    assert continued
    for run in continued:
        started = run[0].workflow_execution_started_event_attributes
        assert (
            started.workflow_task_timeout == first[0].workflow_execution_started_event_attributes.workflow_task_timeout
        )
        assert set(started.search_attributes.indexed_fields) == {
            "SettleBatchId",
            "SettleBatchState",
            "SettleBusinessDate",
            "SettleSource",
        }
        assert BatchRun.model_validate_json(started.input.payloads[0].data).opening == opening
    assert (await handle.describe()).typed_search_attributes[BATCH_STATE] == BatchState.CLOSED
