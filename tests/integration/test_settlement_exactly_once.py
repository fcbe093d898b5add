"""Every order is settled once if batches start twice, run concurrently over the same orders, or are terminated."""

import asyncio
from dataclasses import replace

import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError
from temporalio.service import RPCError

from domain import limits
from domain.identifiers import chunk_workflow_id
from runtime.stack_state import StackState
from schemas.wire.batches import BatchState
from settling.systems import Systems
from tests.support.settlements import (
    Gate,
    connect,
    eventually,
    fetch_chunk_runs,
    fetch_events,
    fetch_run_chain,
    freeze,
    held,
    of_type,
    opening_of,
    replaced,
    require_clean,
    require_settled,
    running_worker,
    seed_orders,
    settle,
    start_chunk_by_hand,
)
from workflows.batch_client import start_batch_workflow
from workflows.settle_batch import SettleBatchWorkflow

COMPLETED = WorkflowExecutionStatus.COMPLETED
TERMINATED = WorkflowExecutionStatus.TERMINATED
# A chunk that runs under its id or is closed is read until there is an answer, however busy the machine is.
PATIENT_READS_S = (1_200,)


async def fetch_run_ids(client: Client, workflow_id: str) -> set[str]:
    """Return all runs that ever had this workflow id."""
    return {found.run_id async for found in client.list_workflows(f"WorkflowId = '{workflow_id}'")}


async def test_a_batch_started_twice_at_once_by_two_clients_is_one_batch_with_one_run(
    stack: StackState, client: Client, systems: Systems, batch_id: str
) -> None:
    orders = await seed_orders(systems, 60)
    opening = opening_of(batch_id, chunk_size=20, window=2)
    clients = [client, await connect(stack)]
    async with running_worker(client, batch_id, systems):
        handles = await asyncio.gather(*(start_batch_workflow(each, batch_id, opening) for each in clients * 2))
        results = await asyncio.gather(*(handle.result() for handle in handles))
    assert all(result == results[0] for result in results)
    await require_settled(systems, results[0], opening, orders)
    await require_clean(systems, len(orders.records))
    assert len({handle.result_run_id or handle.first_execution_run_id for handle in handles}) == 1
    assert len(await eventually(lambda: fetch_run_ids(client, batch_id))) == 1
    runs = await fetch_chunk_runs(client, batch_id, run_count_min=3)
    assert runs == {(chunk_workflow_id(batch_id, chunk_index), COMPLETED): 1 for chunk_index in range(3)}


async def test_a_batch_started_again_after_its_end_is_joined_and_repeats_nothing(
    client: Client, systems: Systems, batch_id: str
) -> None:
    orders = await seed_orders(systems, 50)
    opening = opening_of(batch_id, chunk_size=20, window=2)
    async with running_worker(client, batch_id, systems):
        handle, result = await settle(client, batch_id, opening)
        history = await handle.fetch_history()
        await seed_orders(systems, 10, seed=2, prefix="LATER-")  # the batch is closed, so they are for another batch
        handle_again, result_again = await settle(client, batch_id, opening)
    assert result_again == result
    assert list((await handle_again.fetch_history()).events) == list(history.events)
    assert len(await eventually(lambda: fetch_run_ids(client, batch_id))) == 1
    await require_settled(systems, result, opening, orders)
    await require_clean(systems, len(orders.records))


async def test_two_batches_over_the_same_orders_settle_each_of_them_once(
    client: Client, systems: Systems, batch_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both read the same first slice before either has claimed it. Then they race, slice by slice."""
    monkeypatch.setattr(limits, "FREEZE_SLICE_ORDER_COUNT", 40)
    orders = await seed_orders(systems, 400)
    openings = [opening_of(f"{batch_id}-{name}", chunk_size=70, window=2) for name in "ab"]
    both_were_offered = asyncio.Barrier(len(openings))
    first_offers = iter(openings)

    async def fetch_overdue_slice(*arguments: object) -> object:
        offered = await systems.order_center.fetch_overdue_slice(*arguments)  # type: ignore[arg-type]
        if next(first_offers, None):
            await both_were_offered.wait()
        return offered

    racing = replace(systems, order_center=replaced(systems.order_center, "fetch_overdue_slice", fetch_overdue_slice))
    async with running_worker(client, batch_id, racing):
        ended = await asyncio.gather(*(settle(client, batch_id, opening) for opening in openings))
    results = [result for _, result in ended]
    assert {result.state for result in results} == {BatchState.CLOSED}
    assert sum(result.planned.order_count for result in results) == len(orders.records)
    audited = await require_clean(systems, len(orders.records))
    assert (audited.settled, audited.rejected) == (orders.settled, orders.rejected)
    assert audited.ledger == orders.settled
    assert audited.duplicates >= 40
    assert audited.conflicts == 0


@pytest.mark.parametrize("is_terminated", [True, False], ids=["terminated", "cancelled"])
async def test_a_batch_started_again_reads_the_closed_chunks_and_settles_the_others(
    client: Client, systems: Systems, batch_id: str, monkeypatch: pytest.MonkeyPatch, *, is_terminated: bool
) -> None:
    monkeypatch.setattr(limits, "CHUNK_READ_DEADLINES_S", PATIENT_READS_S)
    chunk_count, slow_chunk_index = 9, 5
    orders = await seed_orders(systems, chunk_count * 10)
    opening = opening_of(batch_id, chunk_size=10, window=1)
    chunk_ids = [chunk_workflow_id(batch_id, chunk_index) for chunk_index in range(chunk_count)]
    gate = Gate()
    slow = replace(
        systems,
        fund_platform=held(
            systems.fund_platform, "post_credits", gate, lambda reference, _: reference == chunk_ids[slow_chunk_index]
        ),
    )
    async with running_worker(client, batch_id, slow):
        handle = await start_batch_workflow(client, batch_id, opening)
        await gate.reached()
        await (handle.terminate("an operator's mistake") if is_terminated else handle.cancel())
        with pytest.raises(WorkflowFailureError):
            await handle.result()
        slow_child = client.get_workflow_handle(chunk_ids[slow_chunk_index])

        async def slow_child_has_ended() -> bool:
            return (await slow_child.describe()).status != WorkflowExecutionStatus.RUNNING

        await eventually(slow_child_has_ended)
        restarted = asyncio.create_task(settle(client, batch_id, opening))
        await gate.open()  # the credits of the terminated child arrive while the batch runs again
        handle, result = await restarted
    await require_settled(systems, result, opening, orders)
    await require_clean(systems, len(orders.records))
    runs = await fetch_chunk_runs(client, batch_id, run_count_min=chunk_count + 1)
    assert runs == {(chunk_id, COMPLETED): 1 for chunk_id in chunk_ids} | {(chunk_ids[slow_chunk_index], TERMINATED): 1}
    runs_of_batch = await fetch_run_chain(client, batch_id, handle.first_execution_run_id or "")
    history = [event for run in runs_of_batch for event in run]  # it may have continued as new
    taken = of_type(history, EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_FAILED)
    assert [event.start_child_workflow_execution_failed_event_attributes.workflow_id for event in taken] == chunk_ids[
        :slow_chunk_index
    ]


@pytest.mark.parametrize("is_terminated", [False, True], ids=["completes", "is terminated"])
async def test_a_chunk_that_runs_already_is_waited_for_and_run_again_only_if_it_failed(
    client: Client, systems: Systems, batch_id: str, monkeypatch: pytest.MonkeyPatch, *, is_terminated: bool
) -> None:
    if not is_terminated:
        monkeypatch.setattr(limits, "CHUNK_READ_DEADLINES_S", PATIENT_READS_S)
    orders = await seed_orders(systems, 30)
    opening = opening_of(batch_id, chunk_size=10, window=3)
    await freeze(systems, opening)
    chunk_id = chunk_workflow_id(batch_id, 1)
    gate = Gate()
    slow = replace(
        systems,
        fund_platform=held(systems.fund_platform, "post_credits", gate, lambda reference, _: reference == chunk_id),
    )
    async with running_worker(client, batch_id, slow):
        early = await start_chunk_by_hand(client, batch_id, opening, chunk_index=1)
        await gate.reached()
        batch = asyncio.create_task(settle(client, batch_id, opening))
        handle = client.get_workflow_handle(batch_id)

        async def is_asked_again() -> bool:
            try:
                pending = (await handle.describe()).raw_description.pending_activities
            except RPCError:
                return False
            return any(
                activity.activity_type.name == "fetch_chunk_totals" and activity.attempt > 1 for activity in pending
            )

        await eventually(is_asked_again)
        assert not batch.done()
        if is_terminated:
            await early.terminate("by an operator, while the batch waits for it")
            chunk = client.get_workflow_handle(chunk_id)

            async def is_run_again() -> bool:
                return (await chunk.describe()).status == WorkflowExecutionStatus.RUNNING

            await eventually(is_run_again)
        await gate.open()
        _, result = await batch
    await require_settled(systems, result, opening, orders)
    await require_clean(systems, len(orders.records))
    ended_early = {(chunk_id, TERMINATED): 1} if is_terminated else {}
    runs = await fetch_chunk_runs(client, batch_id, run_count_min=3 + len(ended_early))
    assert runs == {(chunk_workflow_id(batch_id, index), COMPLETED): 1 for index in range(3)} | ended_early


@pytest.mark.parametrize("is_to_the_beginning", [True, False], ids=["to the beginning", "by one step"])
async def test_a_batch_reset_while_a_chunk_runs_waits_for_it_and_repeats_nothing(
    client: Client, systems: Systems, batch_id: str, monkeypatch: pytest.MonkeyPatch, *, is_to_the_beginning: bool
) -> None:
    """The new run finds its chunks' ids taken, or adopts chunks that are running."""
    monkeypatch.setattr(limits, "CHUNK_READ_DEADLINES_S", PATIENT_READS_S)
    chunk_count, slow_chunk_index = 5, 2
    orders = await seed_orders(systems, chunk_count * 10)
    opening = opening_of(batch_id, chunk_size=10, window=2)
    chunk_ids = [chunk_workflow_id(batch_id, chunk_index) for chunk_index in range(chunk_count)]
    gate = Gate()
    slow = replace(
        systems,
        fund_platform=held(
            systems.fund_platform, "post_credits", gate, lambda reference, _: reference == chunk_ids[slow_chunk_index]
        ),
    )
    async with running_worker(client, batch_id, slow):
        handle = await start_batch_workflow(client, batch_id, opening)
        await gate.reached()

        async def others_closed() -> bool:
            progress = await handle.query(SettleBatchWorkflow.progress)
            return progress is not None and progress.chunks_in_flight == [slow_chunk_index]

        await eventually(others_closed)
        tasks = of_type(await fetch_events(client, batch_id), EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED)
        await client.workflow_service.reset_workflow_execution(
            ResetWorkflowExecutionRequest(
                namespace=client.namespace,
                workflow_execution=WorkflowExecution(workflow_id=batch_id),
                reason="an operator's hand",
                request_id=batch_id,
                workflow_task_finish_event_id=tasks[0 if is_to_the_beginning else -1].event_id,
            )
        )
        reset_handle = client.get_workflow_handle_for(SettleBatchWorkflow.run, batch_id)

        async def waits_again() -> bool:
            progress = await reset_handle.query(SettleBatchWorkflow.progress)
            return progress is not None and progress.chunks_in_flight == [slow_chunk_index]

        await eventually(waits_again)
        await gate.open()
        result = await reset_handle.result()
    await require_settled(systems, result, opening, orders)
    await require_clean(systems, len(orders.records))
    runs = await fetch_chunk_runs(client, batch_id, run_count_min=chunk_count)
    assert runs == {(chunk_id, COMPLETED): 1 for chunk_id in chunk_ids}
