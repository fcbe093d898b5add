"""If a chunk fails or an operator ends it, its items are held and the batch closes."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import CancelledError

from domain.control_totals import sum_totals
from domain.errors import InvariantViolationError, UnavailableError
from domain.identifiers import chunk_workflow_id
from schemas.wire.batches import BatchState
from schemas.wire.payloads import BatchResult
from schemas.wire.reasons import ReasonCode
from schemas.wire.totals import ControlTotals
from settling.reporting import fetch_report
from settling.systems import Systems
from tests.support.settlements import (
    DEADLINE_S,
    Gate,
    SeededOrders,
    expect,
    fetch_events,
    freeze,
    held,
    let_no_timeout_decide,
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

CHUNK_SIZE = 20
ORDER_COUNT = 70
BAD_CHUNK_INDEX = 1

# A share of bad orders that leaves some in every chunk.
BAD_RATE = 0.2

EndChunk = Callable[[WorkflowHandle[Any, Any]], Awaitable[None]]


async def terminate(chunk: WorkflowHandle[Any, Any]) -> None:
    await chunk.terminate("an operator's hand")


async def cancel(chunk: WorkflowHandle[Any, Any]) -> None:
    await chunk.cancel()


def is_in_bad_chunk(item_no: int) -> bool:
    return item_no // CHUNK_SIZE == BAD_CHUNK_INDEX


def held_of(orders: SeededOrders, reason: ReasonCode) -> SeededOrders:
    """Return the items that the bad chunk leaves held: all of them, or those that validation did not reject."""
    return expect(
        [
            order
            for item_no, order in enumerate(orders.sample)
            if is_in_bad_chunk(item_no)
            and (reason == ReasonCode.NOT_ATTEMPTED or order.reason_code in (None, ReasonCode.ACCOUNT_CURRENCY_DIFFERS))
        ]
    )


async def require_held(
    systems: Systems, result: BatchResult, orders: SeededOrders, *, reason: ReasonCode, credited: ControlTotals
) -> None:
    """Require that the bad chunk's items are held for this reason and that all others have their expected outcome."""
    left = held_of(orders, reason)
    others = expect([order for order in orders.sample if order not in left.sample])
    report = await fetch_report(systems.store, systems.fund_platform, result.batch_id)
    assert (result.state, report.state) == (BatchState.CLOSED, BatchState.CLOSED)
    assert (result.totals.settled, report.settled) == (others.settled, others.settled)
    assert (result.totals.rejected, report.rejected) == (others.rejected, others.rejected)
    assert (result.totals.held, report.held) == (left.planned, left.planned)
    assert report.reasons == {**others.reasons, reason: left.planned.order_count}
    # They may have been credited before the closing or since.
    since = report.since_closing
    assert since
    assert since.unconfirmed == since.ledger == credited
    assert report.unconfirmed in (credited, ControlTotals())
    assert report.ledger == sum_totals([others.settled, report.unconfirmed])
    assert (report.balanced, since.balanced) == (True, True)
    audited = await require_clean(systems, ORDER_COUNT)
    assert (audited.settled, audited.rejected, audited.held) == (others.settled, others.rejected, left.planned)
    assert (audited.unconfirmed, audited.ledger) == (credited, sum_totals([others.settled, credited]))


async def test_a_chunk_that_fails_for_good_is_held_and_the_others_are_settled(
    client: Client, systems: Systems, batch_id: str
) -> None:
    orders = await seed_orders(systems, ORDER_COUNT, bad_rate=BAD_RATE)
    opening = opening_of(batch_id, chunk_size=CHUNK_SIZE, window=2)

    async def fetch_chunk(batch_id: str, chunk_index: int) -> object:
        if chunk_index == BAD_CHUNK_INDEX:
            raise InvariantViolationError("The chunk's state contradicts itself.")
        return await systems.store.chunks.fetch_chunk(batch_id, chunk_index)

    broken = replace(systems, store=replaced(systems.store, "fetch_chunk", fetch_chunk))
    async with running_worker(client, batch_id, broken):
        _, result = await settle(client, batch_id, opening)
    await require_held(systems, result, orders, reason=ReasonCode.NOT_ATTEMPTED, credited=ControlTotals())


async def test_a_system_that_is_away_for_a_while_costs_time_and_nothing_else(
    client: Client, systems: Systems, batch_id: str
) -> None:
    orders = await seed_orders(systems, ORDER_COUNT, bad_rate=BAD_RATE)
    opening = opening_of(batch_id, chunk_size=CHUNK_SIZE, window=2)
    failures_left = 5

    async def post_credits(*arguments: Any) -> object:
        nonlocal failures_left
        if failures_left:
            failures_left -= 1
            raise (UnavailableError("It is away."), ConnectionResetError("It hung up."))[failures_left % 2]
        return await systems.fund_platform.credits.post_credits(*arguments)

    shaky = replace(systems, fund_platform=replaced(systems.fund_platform, "post_credits", post_credits))
    async with running_worker(client, batch_id, shaky):
        _, result = await settle(client, batch_id, opening)
    await require_settled(systems, result, opening, orders)
    await require_clean(systems, ORDER_COUNT)


@pytest.mark.parametrize("end_chunk", [terminate, cancel])
async def test_a_chunk_ended_before_its_validation_is_held_as_not_attempted_for_good(
    client: Client, systems: Systems, batch_id: str, end_chunk: EndChunk
) -> None:
    orders = await seed_orders(systems, ORDER_COUNT, bad_rate=BAD_RATE)
    opening = opening_of(batch_id, chunk_size=CHUNK_SIZE, window=2)
    gate = Gate()
    slow = replace(
        systems,
        store=held(
            systems.store, "store_validation", gate, lambda _batch_id, index, _rejects: index == BAD_CHUNK_INDEX
        ),
    )
    async with running_worker(client, batch_id, slow):
        handle = await start_batch_workflow(client, batch_id, opening)
        await gate.reached()
        await end_chunk(client.get_workflow_handle(chunk_workflow_id(batch_id, BAD_CHUNK_INDEX)))
        result = await handle.result()
    await require_held(systems, result, orders, reason=ReasonCode.NOT_ATTEMPTED, credited=ControlTotals())
    await gate.open()  # the validation comes too late, after the chunk was closed
    await require_held(systems, result, orders, reason=ReasonCode.NOT_ATTEMPTED, credited=ControlTotals())


@pytest.mark.parametrize("end_chunk", [terminate, cancel])
async def test_a_chunk_ended_amid_its_credits_is_unknown_and_its_late_credits_are_told(
    client: Client, systems: Systems, batch_id: str, end_chunk: EndChunk
) -> None:
    orders = await seed_orders(systems, ORDER_COUNT, bad_rate=BAD_RATE)
    opening = opening_of(batch_id, chunk_size=CHUNK_SIZE, window=2)
    chunk_id = chunk_workflow_id(batch_id, BAD_CHUNK_INDEX)
    gate = Gate()
    slow = replace(
        systems,
        fund_platform=held(systems.fund_platform, "post_credits", gate, lambda reference, _: reference == chunk_id),
    )
    async with running_worker(client, batch_id, slow):
        handle = await start_batch_workflow(client, batch_id, opening)
        await gate.reached()
        await end_chunk(client.get_workflow_handle(chunk_id))
        result = await handle.result()
    await require_held(systems, result, orders, reason=ReasonCode.OUTCOME_UNKNOWN, credited=ControlTotals())
    await gate.open()  # the credits that were on their way arrive now
    credited = held_of(orders, ReasonCode.OUTCOME_UNKNOWN).settled
    await require_held(systems, result, orders, reason=ReasonCode.OUTCOME_UNKNOWN, credited=credited)


async def test_a_chunk_cancelled_while_it_is_settled_at_once_takes_no_further_step(
    client: Client, systems: Systems, batch_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_no_timeout_decide(monkeypatch)
    # The worker learns of a cancellation only when it renews the task, after most of a timeout.
    monkeypatch.setattr("tests.support.settlements.WORKFLOW_TASK_TIMEOUT", timedelta(seconds=10))
    await seed_orders(systems, CHUNK_SIZE)
    opening = opening_of(batch_id, chunk_size=CHUNK_SIZE, window=1)
    await freeze(systems, opening)
    gate = Gate()
    slow = replace(systems, fund_platform=held(systems.fund_platform, "post_credits", gate))
    async with running_worker(client, batch_id, slow):
        chunk = await start_chunk_by_hand(client, batch_id, opening, chunk_index=0)
        await gate.reached()
        await chunk.cancel()
        with pytest.raises(WorkflowFailureError) as failed:
            async with asyncio.timeout(DEADLINE_S):
                await chunk.result()
        await gate.open()
    assert isinstance(failed.value.cause, CancelledError)
    assert not of_type(await fetch_events(client, chunk.id), EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED)
