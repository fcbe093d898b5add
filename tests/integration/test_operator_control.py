"""After pause, resume, abort, window and thresholds on real servers, work in flight finishes and totals agree."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle

import pytest
from temporalio import workflow
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.service import RPCError
from temporalio.worker import Worker

from domain.identifiers import chunk_workflow_id
from runtime.settings import Settings
from schemas.wire.batches import BatchState
from schemas.wire.control import BatchControl, ControlAction, ControlInput, WindowInput
from schemas.wire.payloads import BatchResult, ChunkResult, ChunkRun
from schemas.wire.reasons import ReasonCode
from schemas.wire.reports import BatchReport
from schemas.wire.totals import ControlTotals
from settling.reporting import fetch_report
from settling.systems import Systems
from starters.sample_orders import SampleOrder
from tests.support.settlements import (
    Gate,
    eventually,
    expect,
    fetch_current_details,
    fetch_events,
    fetch_run_chain,
    held,
    let_no_timeout_decide,
    of_type,
    opening_of,
    require_clean,
    require_settled,
    rerun_opening_of,
    running_worker,
    seed_orders,
    settle,
)
from workers.settlement_worker import build_worker
from workflows.batch_client import start_batch_workflow
from workflows.search_attributes import BATCH_STATE
from workflows.settle_batch import SettleBatchWorkflow

CHUNK_SIZE = 10
ORDER_COUNT = 60
ASKED = ControlInput(requested_by="ann", reason="the Fund Platform is being repaired")
PAUSE, RESUME, ABORT, WINDOW = ControlAction

Handle = WorkflowHandle[SettleBatchWorkflow, BatchResult]


def slow_at(systems: Systems, batch_id: str, gate: Gate, *chunk_indexes: int) -> Systems:
    """Return the systems with the credits of some chunks held back."""
    references = {chunk_workflow_id(batch_id, index) for index in chunk_indexes}
    post_credits = held(systems.fund_platform, "post_credits", gate, lambda reference, _: reference in references)
    return replace(systems, fund_platform=post_credits)


async def pause(handle: Handle) -> BatchControl:
    return await handle.execute_update(SettleBatchWorkflow.pause, ASKED)


async def resume(handle: Handle) -> BatchControl:
    return await handle.execute_update(SettleBatchWorkflow.resume, ASKED)


async def abort(handle: Handle) -> BatchControl:
    return await handle.execute_update(SettleBatchWorkflow.abort, ASKED)


async def until_idle(handle: Handle) -> int:
    """Wait until nothing is in flight, and return how many chunks are closed by then."""

    async def closed_count() -> int | None:
        progress = await handle.query(SettleBatchWorkflow.progress)
        return progress.chunk_closed_count if progress and not progress.chunks_in_flight else None

    return await eventually(closed_count)


async def until_paused(handle: Handle) -> None:
    async def is_paused() -> bool:
        return (await handle.query(SettleBatchWorkflow.control)).is_paused

    await eventually(is_paused)


async def refusal_of(asked: "asyncio.Future[BatchControl]") -> str:
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await asked
    return str(refused.value.cause)


async def actions_of(systems: Systems, batch_id: str) -> list[tuple[ControlAction, str, str | None]]:
    actions = await systems.store.control.fetch_control_actions(batch_id)
    return [(each.action, each.requested_by, each.reason) for each in actions]


async def require_aborted(
    systems: Systems, result: BatchResult, answered: Sequence[SampleOrder], left: Sequence[SampleOrder]
) -> BatchReport:
    """Require that an aborted batch settled or rejected some orders, holds the others, and balances."""
    report = await fetch_report(systems.store, systems.fund_platform, result.batch_id)
    done, rest = expect(answered), expect(left)
    assert (result.state, report.state) == (BatchState.ABORTED, BatchState.ABORTED)
    assert (result.totals.settled, report.settled) == (done.settled, done.settled)
    assert (result.totals.rejected, report.rejected) == (done.rejected, done.rejected)
    assert (result.totals.held, report.held) == (rest.planned, rest.planned)
    assert (report.pending, report.failed) == (ControlTotals(), ControlTotals())
    assert report.ledger == done.settled
    assert report.balanced
    return report


async def test_a_paused_batch_finishes_what_is_in_flight_and_goes_on_when_resumed(
    client: Client, systems: Systems, batch_id: str
) -> None:
    orders = await seed_orders(systems, ORDER_COUNT)
    opening = opening_of(batch_id, chunk_size=CHUNK_SIZE, window=2)
    gate = Gate()
    async with running_worker(client, batch_id, slow_at(systems, batch_id, gate, 1, 2)):
        handle = await start_batch_workflow(client, batch_id, opening)
        await gate.reached()
        paused = await pause(handle)
        assert (paused.is_paused, paused.reason, paused.action_no) == (True, ASKED.reason, 1)
        assert await pause(handle) == paused
        await gate.open()
        assert await until_idle(handle) in (2, 3)
        assert (await systems.store.batches.fetch_batch(batch_id)).state == BatchState.PAUSED
        assert (await handle.describe()).typed_search_attributes[BATCH_STATE] == BatchState.PAUSED
        details = await fetch_current_details(client, batch_id)
        assert "**paused**" in details
        assert f"Reason: {ASKED.reason}" in details
        assert await systems.store.batches.fetch_backlog_order_count(3_600) == 0

        resumed = await resume(handle)
        assert (resumed.is_paused, resumed.is_resumed) == (False, True)
        result = await handle.result()
        with pytest.raises(RPCError, match="already completed"):
            await pause(handle)
    await require_settled(systems, result, opening, orders)
    await require_clean(systems, ORDER_COUNT)
    assert await actions_of(systems, batch_id) == [(PAUSE, "ann", ASKED.reason), (RESUME, "ann", ASKED.reason)]


async def test_a_batch_paused_while_it_is_frozen_starts_no_chunk_until_it_is_resumed(
    client: Client, systems: Systems, batch_id: str
) -> None:
    orders = await seed_orders(systems, ORDER_COUNT)
    opening = opening_of(batch_id, chunk_size=CHUNK_SIZE, window=2)
    gate = Gate()
    slow = replace(systems, order_center=held(systems.order_center, "acknowledge", gate))
    async with running_worker(client, batch_id, slow):
        handle = await start_batch_workflow(client, batch_id, opening)
        await gate.reached()
        await pause(handle)
        assert (await systems.store.batches.fetch_batch(batch_id)).state == BatchState.OPEN
        await gate.open()

        async def is_paused() -> bool:
            return (await systems.store.batches.fetch_batch(batch_id)).state == BatchState.PAUSED

        await eventually(is_paused)
        assert await systems.store.chunks.fetch_unclosed_chunks(batch_id, -1, 10) == list(range(6))
        assert not of_type(
            await fetch_events(client, batch_id), EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED
        )
        await resume(handle)
        result = await handle.result()
    await require_settled(systems, result, opening, orders)
    await require_clean(systems, ORDER_COUNT)


async def test_a_paused_batch_whose_chunks_are_all_closed_waits_for_a_person(
    client: Client, systems: Systems, batch_id: str
) -> None:
    orders = await seed_orders(systems, ORDER_COUNT)
    opening = opening_of(batch_id, chunk_size=ORDER_COUNT, window=1)
    gate = Gate()
    async with running_worker(client, batch_id, slow_at(systems, batch_id, gate, 0)):
        handle = await start_batch_workflow(client, batch_id, opening)
        await gate.reached()
        await pause(handle)
        await gate.open()
        assert await until_idle(handle) == 1
        assert (await systems.store.batches.fetch_batch(batch_id)).state == BatchState.PAUSED
        await resume(handle)
        result = await handle.result()
    await require_settled(systems, result, opening, orders)


@pytest.mark.parametrize("is_paused_first", [False, True], ids=["while it runs", "while it is paused"])
async def test_an_aborted_batch_finishes_what_is_in_flight_and_its_rest_can_be_rerun(
    client: Client, systems: Systems, batch_id: str, *, is_paused_first: bool
) -> None:
    orders = await seed_orders(systems, ORDER_COUNT, bad_rate=0.2)
    opening = opening_of(batch_id, chunk_size=CHUNK_SIZE, window=1)
    gate = Gate()
    async with running_worker(client, batch_id, slow_at(systems, batch_id, gate, 2)):
        handle = await start_batch_workflow(client, batch_id, opening)
        await gate.reached()
        if is_paused_first:
            await pause(handle)
        control = await abort(handle)
        assert (control.is_aborting, control.is_paused, control.reason) == (True, False, ASKED.reason)
        assert await abort(handle) == control
        for refused in (pause(handle), resume(handle)):
            assert "being aborted, which cannot be undone" in await refusal_of(asyncio.ensure_future(refused))
        await gate.open()
        result = await handle.result()
        await require_aborted(systems, result, orders.sample[: 3 * CHUNK_SIZE], orders.sample[3 * CHUNK_SIZE :])
        report = await fetch_report(systems.store, systems.fund_platform, batch_id)
        assert report.reasons[ReasonCode.NOT_ATTEMPTED] == 3 * CHUNK_SIZE
        [item] = await systems.store.orders.fetch_items_of_order(orders.records[-1].order_id)
        assert item.detail == f"The batch was aborted: {ASKED.reason}"
        assert (await handle.describe()).typed_search_attributes[BATCH_STATE] == BatchState.ABORTED
        await require_clean(systems, ORDER_COUNT)
        await settle(client, batch_id, rerun_opening_of(f"{batch_id}-again", batch_id))
    audited = await require_clean(systems, ORDER_COUNT)
    assert (audited.settled, audited.rejected) == (orders.settled, orders.rejected)


async def test_an_aborted_rerun_leaves_unknown_what_was_unknown(
    client: Client, systems: Systems, batch_id: str
) -> None:
    orders = await seed_orders(systems, ORDER_COUNT, bad_rate=0)
    opening = opening_of(batch_id, chunk_size=ORDER_COUNT, window=1)
    gate = Gate()
    async with running_worker(client, batch_id, slow_at(systems, batch_id, gate, 0)):
        handle = await start_batch_workflow(client, batch_id, opening)
        await gate.reached()
        await client.get_workflow_handle(chunk_workflow_id(batch_id, 0)).terminate("by an operator")
        assert (await handle.result()).totals.held == orders.planned
        rerun = rerun_opening_of(f"{batch_id}-again", batch_id, chunk_size=CHUNK_SIZE, window=1)
        slow = held(systems.order_center, "fetch_records", gate)
        async with running_worker(client, rerun.batch_id, replace(systems, order_center=slow)):
            again = await start_batch_workflow(client, rerun.batch_id, rerun)
            await systems.store.filling.open_batch(rerun)
            await abort(again)
            await gate.open()
            result = await again.result()
    report = await fetch_report(systems.store, systems.fund_platform, rerun.batch_id)
    assert (result.state, report.held) == (BatchState.ABORTED, orders.planned)
    assert report.reasons == {ReasonCode.OUTCOME_UNKNOWN: ORDER_COUNT}
    assert report.unconfirmed == report.ledger == orders.settled  # the credits that were on their way
    await require_clean(systems, ORDER_COUNT)


async def test_the_window_can_be_widened_and_narrowed_while_chunks_are_in_flight(
    client: Client, systems: Systems, batch_id: str
) -> None:
    orders = await seed_orders(systems, ORDER_COUNT)
    opening = opening_of(batch_id, chunk_size=CHUNK_SIZE, window=1)
    gate = Gate()
    async with running_worker(client, batch_id, slow_at(systems, batch_id, gate, *range(6))):
        handle = await start_batch_workflow(client, batch_id, opening)
        await gate.reached()

        async def in_flight(count: int) -> list[int]:
            async def probe() -> list[int] | None:
                progress = await handle.query(SettleBatchWorkflow.progress)
                return progress.chunks_in_flight if progress and len(progress.chunks_in_flight) == count else None

            return await eventually(probe)

        assert await in_flight(1) == [0]
        for window in (3, 2):
            asked = WindowInput(requested_by="ann", window=window)
            assert (await handle.execute_update(SettleBatchWorkflow.window, asked)).window == window
            assert await in_flight(3) == [0, 1, 2]
        wrong = handle.execute_update(SettleBatchWorkflow.window, WindowInput(requested_by="ann", window=0))
        assert "the window must be 1 to 200 chunks" in await refusal_of(asyncio.ensure_future(wrong))
        await gate.open()
        result = await handle.result()
    await require_settled(systems, result, opening, orders)
    await require_clean(systems, ORDER_COUNT)
    assert (await systems.store.control.fetch_control(batch_id)).window == 2
    assert (await systems.store.batches.fetch_batch(batch_id)).window == 1  # the window of its opening


def strict_worker(client: Client, task_queue: str, systems: Systems, rejected_count_max: int) -> Worker:
    settings = Settings(rejected_count_max=rejected_count_max)
    return build_worker(client, task_queue, systems, batch_settings=settings.batch_settings)


async def test_a_batch_pauses_itself_over_a_threshold_and_a_resume_lifts_it_for_good(
    client: Client, systems: Systems, batch_id: str
) -> None:
    orders = await seed_orders(systems, ORDER_COUNT, bad_rate=1)
    opening = opening_of(batch_id, chunk_size=CHUNK_SIZE, window=1)
    gate = Gate()
    slow = replace(
        systems,
        store=held(systems.store, "store_validation", gate, lambda _batch_id, chunk_index, _rejects: chunk_index == 3),
    )
    async with strict_worker(client, batch_id, slow, rejected_count_max=2 * CHUNK_SIZE - 1):
        handle = await start_batch_workflow(client, batch_id, opening)

        async def is_paused() -> bool:
            return any(batch.state == BatchState.PAUSED for batch in await systems.store.batches.fetch_batches(1))

        await eventually(is_paused)
        assert await until_idle(handle) == 2
        [(action, requested_by, reason)] = await actions_of(systems, batch_id)
        assert (action, requested_by) == (PAUSE, "settle")
        assert (reason or "").startswith("20 of the 20 orders that have an outcome so far were rejected (100.0%)")
        await resume(handle)
        await gate.reached()
        await pause(handle)
        await handle.terminate("a restart")  # a restarted workflow knows it as well
        await gate.open()
        again = await start_batch_workflow(client, batch_id, opening)
        await resume(again)
        result = await again.result()
    assert [action for action, _, _ in await actions_of(systems, batch_id)] == [PAUSE, RESUME, PAUSE, RESUME]
    await require_settled(systems, result, opening, orders)
    await require_clean(systems, ORDER_COUNT)


async def test_a_threshold_that_the_last_chunk_passes_pauses_nothing(
    client: Client, systems: Systems, batch_id: str
) -> None:
    orders = await seed_orders(systems, ORDER_COUNT, bad_rate=1)
    opening = opening_of(batch_id, chunk_size=ORDER_COUNT // 2, window=2)
    async with strict_worker(client, batch_id, systems, rejected_count_max=ORDER_COUNT // 2 - 1):
        _, result = await settle(client, batch_id, opening)
    await require_settled(systems, result, opening, orders)
    assert await actions_of(systems, batch_id) == []


async def test_an_abort_while_the_batch_pauses_itself_wins(client: Client, systems: Systems, batch_id: str) -> None:
    orders = await seed_orders(systems, ORDER_COUNT, bad_rate=1)
    opening = opening_of(batch_id, chunk_size=CHUNK_SIZE, window=1)
    gate = Gate()
    slow = replace(
        systems, store=held(systems.store, "control_batch", gate, lambda request: request.requested_by == "settle")
    )
    async with strict_worker(client, batch_id, slow, rejected_count_max=CHUNK_SIZE - 1):
        handle = await start_batch_workflow(client, batch_id, opening)
        await gate.reached()
        aborting = asyncio.create_task(abort(handle))
        await gate.open()
        assert (await aborting).is_aborting
        result = await handle.result()
    await require_aborted(systems, result, orders.sample[:CHUNK_SIZE], orders.sample[CHUNK_SIZE:])
    await require_clean(systems, ORDER_COUNT)


async def test_a_batch_that_would_pause_itself_while_it_is_aborted_does_not(
    client: Client, systems: Systems, batch_id: str
) -> None:
    orders = await seed_orders(systems, ORDER_COUNT, bad_rate=1)
    chunk_gate, abort_gate = Gate(), Gate()
    store = held(systems.store, "store_outcomes", chunk_gate)
    slow = replace(systems, store=held(store, "control_batch", abort_gate))
    async with strict_worker(client, batch_id, slow, rejected_count_max=CHUNK_SIZE - 1):
        handle = await start_batch_workflow(client, batch_id, opening_of(batch_id, chunk_size=CHUNK_SIZE, window=1))
        await chunk_gate.reached()
        aborting = asyncio.create_task(abort(handle))
        await abort_gate.reached()
        await chunk_gate.open()
        assert await until_idle(handle) == 1
        await abort_gate.open()
        assert (await aborting).is_aborting
        result = await handle.result()
    assert [action for action, *_ in await actions_of(systems, batch_id)] == [ABORT]
    await require_aborted(systems, result, orders.sample[:CHUNK_SIZE], orders.sample[CHUNK_SIZE:])
    await require_clean(systems, ORDER_COUNT)


@workflow.defn(name="SettleChunkWorkflow", sandboxed=False)
class UnluckyChunkWorkflow:
    """Settles nothing. It gives its batch a reason to pause, with the number of probes that it was allowed."""

    @workflow.run
    async def run(self, chunk: ChunkRun) -> ChunkResult:
        return ChunkResult(probe_count=300, pause_reason=f"bad data; {chunk.probe_count_max} probes were allowed")


async def test_a_chunk_can_pause_its_batch_each_time_and_its_probes_count_until_a_resume(
    client: Client, systems: Systems, batch_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.settlement_worker.WORKFLOWS", (SettleBatchWorkflow, UnluckyChunkWorkflow))
    monkeypatch.setattr("domain.limits.BATCH_PROBE_COUNT_MAX", 500)
    await seed_orders(systems, ORDER_COUNT)
    async with running_worker(client, batch_id, systems):
        handle = await start_batch_workflow(client, batch_id, opening_of(batch_id, chunk_size=CHUNK_SIZE, window=3))
        for closed_count in (3, 6):
            assert await until_idle(handle) == closed_count
            await until_paused(handle)
            [*_, (action, requested_by, reason)] = await actions_of(systems, batch_id)
            assert (action, requested_by, reason) == (PAUSE, "settle", "bad data; 400 probes were allowed")
            control = await resume(handle)
            assert not control.is_paused
        await handle.terminate("enough: no chunk was settled")


async def test_a_batch_paused_before_it_continues_as_new_is_paused_in_its_new_run(
    client: Client, systems: Systems, batch_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test server suggests it after 100 events, so the window is changed often enough meanwhile."""
    let_no_timeout_decide(monkeypatch)
    orders = await seed_orders(systems, 60)
    opening = opening_of(batch_id, chunk_size=3, window=5)
    gate = Gate()
    windows = cycle((3, 4))
    async with running_worker(client, batch_id, slow_at(systems, batch_id, gate, *range(5))):
        handle = await start_batch_workflow(client, batch_id, opening)
        await gate.reached()
        await pause(handle)

        async def is_suggested() -> bool:
            asked = WindowInput(requested_by="ann", window=next(windows))
            await handle.execute_update(SettleBatchWorkflow.window, asked)
            return (await handle.describe()).history_length > 100

        await eventually(is_suggested)
        assert (await client.get_workflow_handle(batch_id).describe()).run_id == handle.first_execution_run_id
        await gate.open()

        async def is_continued() -> bool:
            return (await client.get_workflow_handle(batch_id).describe()).run_id != handle.first_execution_run_id

        latest = client.get_workflow_handle_for(SettleBatchWorkflow.run, batch_id)
        await eventually(is_continued)
        closed_count = await until_idle(latest)
        assert closed_count == 5
        assert (await latest.describe()).typed_search_attributes[BATCH_STATE] == BatchState.PAUSED
        await resume(latest)
        result = await latest.result()
    await require_settled(systems, result, opening, orders)
    await require_clean(systems, 60)
    runs = await fetch_run_chain(client, batch_id, handle.first_execution_run_id or "")
    assert len(runs) >= 2


async def test_an_action_that_the_store_is_slow_to_take_holds_before_the_batch_ends(
    client: Client, systems: Systems, batch_id: str
) -> None:
    orders = await seed_orders(systems, ORDER_COUNT)
    opening = opening_of(batch_id, chunk_size=ORDER_COUNT, window=1)
    gate, control_gate = Gate(), Gate()
    slow = slow_at(systems, batch_id, gate, 0)
    slow = replace(slow, store=held(systems.store, "control_batch", control_gate))
    async with running_worker(client, batch_id, slow):
        handle = await start_batch_workflow(client, batch_id, opening)
        await gate.reached()
        pausing = asyncio.create_task(pause(handle))
        await control_gate.reached()
        await gate.open()
        assert await until_idle(handle) == 1
        await control_gate.open()
        assert (await pausing).is_paused
        assert (await systems.store.batches.fetch_batch(batch_id)).state == BatchState.PAUSED
        await resume(handle)
        result = await handle.result()
    await require_settled(systems, result, opening, orders)


async def test_an_action_while_the_batch_is_being_closed_is_refused_with_a_sentence(
    client: Client, systems: Systems, batch_id: str
) -> None:
    orders = await seed_orders(systems, ORDER_COUNT)
    opening = opening_of(batch_id, chunk_size=ORDER_COUNT, window=1)
    gate = Gate()
    slow = replace(systems, fund_platform=held(systems.fund_platform, "fetch_credit_totals", gate))
    async with running_worker(client, batch_id, slow):
        handle = await start_batch_workflow(client, batch_id, opening)
        await gate.reached()
        for refused in (pause(handle), abort(handle)):
            assert "it is being closed" in await refusal_of(asyncio.ensure_future(refused))
        await gate.open()
        result = await handle.result()
    await require_settled(systems, result, opening, orders)
    assert await actions_of(systems, batch_id) == []
