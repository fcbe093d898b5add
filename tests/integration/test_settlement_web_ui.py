"""In the Temporal web UI an operator can find a batch and see how far it is."""

import asyncio
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError

from domain.errors import UnavailableError
from domain.identifiers import chunk_workflow_id
from schemas.wire.batches import BatchState
from schemas.wire.control import ControlInput
from settling.systems import Systems
from tests.support.settlements import (
    Gate,
    eventually,
    fetch_current_details,
    fetch_events,
    held,
    let_no_timeout_decide,
    of_type,
    opening_of,
    payload_text,
    replaced,
    running_worker,
    seed_orders,
    settle,
)
from workflows.batch_client import start_batch_workflow
from workflows.search_attributes import BATCH_ID, BATCH_STATE, BUSINESS_DATE, EXCEPTION_ITEM_COUNT, SOURCE
from workflows.settle_batch import SettleBatchWorkflow

ASKED = ControlInput(requested_by="a test")
ACTIVITY_EVENTS = (EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED, EventType.EVENT_TYPE_MARKER_RECORDED)


async def test_a_batch_and_its_chunks_say_what_they_are_and_what_every_activity_is_for(
    client: Client, systems: Systems, batch_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_no_timeout_decide(monkeypatch)
    await seed_orders(systems, 50)
    opening = opening_of(batch_id, chunk_size=20, window=2)
    async with running_worker(client, batch_id, systems):
        handle, _ = await settle(client, batch_id, opening)
    batch = await handle.describe()
    assert await batch.static_summary() == f"settle the orders overdue on {opening.business_date}"
    details = await batch.static_details() or ""
    assert f"in the report of batch {batch_id}" in details
    assert "before **2026-11-22 00:00:00 UTC** in chunks of **20**, at most **2** at a time" in details
    chunk = await client.get_workflow_handle(chunk_workflow_id(batch_id, 2)).describe()
    assert await chunk.static_summary() == f"chunk 2 of batch {batch_id}"
    assert "Terminating it is safe" in (await chunk.static_details() or "")

    async def fetch_summaries(workflow_id: str) -> list[str]:
        return [
            payload_text(event.user_metadata.summary)
            for event in await fetch_events(client, workflow_id)
            if event.event_type in ACTIVITY_EVENTS and event.user_metadata.HasField("summary")
        ]

    assert await fetch_summaries(batch_id) == [
        "freeze the orders and set the batch running",
        "check the balance and close the batch",
    ]
    assert await fetch_summaries(chunk.id) == ["settle chunk 2"]


async def test_a_chunk_not_settled_at_once_shows_each_step_and_its_last_failure(
    client: Client, systems: Systems, batch_id: str
) -> None:
    await seed_orders(systems, 10)
    opening = opening_of(batch_id, chunk_size=10, window=1)
    chunk = client.get_workflow_handle(chunk_workflow_id(batch_id, 0))
    is_away = True

    async def post_credits(*arguments: Any) -> object:
        if is_away:
            raise UnavailableError("The Fund Platform is away.")
        return await systems.fund_platform.credits.post_credits(*arguments)

    async def fetch_last_failure() -> str | None:
        pending = (await chunk.describe()).raw_description.pending_activities
        return pending[0].last_failure.message if pending and pending[0].HasField("last_failure") else None

    failing = replace(systems, fund_platform=replaced(systems.fund_platform, "post_credits", post_credits))
    async with running_worker(client, batch_id, failing):
        handle = await start_batch_workflow(client, batch_id, opening)
        await eventually(lambda: child_is_known(chunk))
        assert "The Fund Platform is away." in await eventually(fetch_last_failure)
        assert "look at the pending activity's last failure" in await fetch_current_details(client, chunk.id)
        is_away = False
        await handle.result()
    scheduled = of_type(await fetch_events(client, chunk.id), EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED)
    assert [payload_text(event.user_metadata.summary) for event in scheduled] == ["validate chunk 0", "credit chunk 0"]


async def test_a_batch_whose_pause_is_stored_while_it_starts_is_shown_as_paused(
    client: Client, systems: Systems, batch_id: str
) -> None:
    await seed_orders(systems, 10)
    opening = opening_of(batch_id, chunk_size=2, window=1)
    await systems.store.filling.open_batch(opening)
    gate = Gate()
    slow = replace(systems, store=held(systems.store, "control_batch", gate))
    async with running_worker(client, batch_id, slow):
        handle = await start_batch_workflow(client, batch_id, opening)
        pausing = asyncio.create_task(handle.execute_update(SettleBatchWorkflow.pause, ASKED))
        await gate.reached()
        await eventually(partial(is_running, systems, batch_id))
        await gate.open()
        await pausing
        await eventually(partial(is_shown_as_paused, handle))  # once the workflow has its plan
        await handle.execute_update(SettleBatchWorkflow.resume, ASKED)
        await handle.result()


async def is_running(systems: Systems, batch_id: str) -> bool:
    return (await systems.store.batches.fetch_batch(batch_id)).state == BatchState.RUNNING


async def is_shown_as_paused(handle: WorkflowHandle[Any, Any]) -> bool:
    return (await handle.describe()).typed_search_attributes.get(BATCH_STATE) == BatchState.PAUSED


async def child_is_known(handle: WorkflowHandle[Any, Any]) -> bool:
    """Return whether the child workflow of another workflow exists."""
    try:
        return bool(await handle.describe())
    except RPCError:
        return False


async def test_a_batch_is_found_by_its_typed_search_attributes_while_it_runs_and_after(
    client: Client, systems: Systems, batch_id: str
) -> None:
    orders = await seed_orders(systems, 50, bad_rate=0.2)
    opening = opening_of(batch_id, chunk_size=20, window=1)
    gate = Gate()
    slow = replace(systems, fund_platform=held(systems.fund_platform, "post_credits", gate))

    async def found_by(query: str) -> set[str]:
        return {found.id async for found in client.list_workflows(f"SettleBatchId = '{batch_id}' AND {query}")}

    async with running_worker(client, batch_id, slow):
        handle = await start_batch_workflow(client, batch_id, opening)
        await gate.reached()
        assert await eventually(lambda: found_by("SettleBatchState = 'running'")) == {batch_id}
        await gate.open()
        await handle.result()
    assert await eventually(lambda: found_by("SettleBatchState = 'closed'")) == {batch_id}
    assert await found_by("SettleBatchState = 'running'") == set()
    assert await found_by("SettleExceptionItemCount >= 10") == {batch_id}
    assert await found_by("SettleExceptionItemCount > 10") == set()
    assert await found_by("SettleBusinessDate >= '2026-11-22' AND SettleSource = 'manual'") == {batch_id}
    chunk_ids = {chunk_workflow_id(batch_id, chunk_index) for chunk_index in range(3)}

    async def are_all_chunks_found() -> bool:
        return await found_by("WorkflowType = 'SettleChunkWorkflow'") == chunk_ids

    await eventually(are_all_chunks_found)
    attributes = (await handle.describe()).typed_search_attributes
    assert attributes[BATCH_ID] == batch_id
    assert attributes[BATCH_STATE] == BatchState.CLOSED
    assert attributes[BUSINESS_DATE] == "2026-11-22"
    assert attributes[SOURCE] == "manual"
    assert attributes[EXCEPTION_ITEM_COUNT] == orders.rejected.order_count


async def test_a_batch_tells_its_progress_while_it_runs_and_after(
    client: Client, systems: Systems, batch_id: str
) -> None:
    orders = await seed_orders(systems, 50, bad_rate=0.2)
    opening = opening_of(batch_id, chunk_size=20, window=2)
    gate = Gate()
    slow = replace(
        systems,
        order_center=held(systems.order_center, "fetch_records", gate, lambda ids: orders.records[40].order_id in ids),
    )
    async with running_worker(client, batch_id, slow):
        handle = await start_batch_workflow(client, batch_id, opening)

        async def waits_for_the_last() -> bool:
            progress = await handle.query(SettleBatchWorkflow.progress)
            return progress is not None and progress.chunk_closed_count == 2

        await eventually(waits_for_the_last)
        progress = await handle.query(SettleBatchWorkflow.progress)
        assert progress is not None
        assert (progress.phase, progress.chunk_count, progress.chunks_in_flight) == ("settling", 3, [2])
        assert progress.planned == 50
        assert progress.settled + progress.rejected == 40
        details = await fetch_current_details(client, batch_id)
        assert "**settling**: 2 of 3 chunks closed" in details
        assert "Waiting for chunks in flight: 1 (chunk 2)" in details
        await gate.open()
        await handle.result()
        progress = await handle.query(SettleBatchWorkflow.progress)
        details = await fetch_current_details(client, batch_id)
        chunk_details = await fetch_current_details(client, chunk_workflow_id(batch_id, 2))
    assert progress is not None
    assert (progress.phase, progress.chunk_closed_count, progress.chunks_in_flight) == ("closed", 3, [])
    assert (progress.settled, progress.rejected) == (orders.settled.order_count, orders.rejected.order_count)
    assert (progress.failed, progress.held) == (0, 0)
    assert "**closed**: 3 of 3 chunks closed" in details
    assert f"50 planned, **{progress.settled} settled**, {progress.rejected} rejected, 0 failed, 0 held;" in details
    assert chunk_details.startswith("Closed: ")
