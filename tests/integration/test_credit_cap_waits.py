"""A batch that waits under a cap does not delay others, and its chunks' histories stay short."""

from dataclasses import replace

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client
from temporalio.service import RPCError

from domain import limits
from domain.identifiers import chunk_workflow_id
from schemas.credit_turns import CreditTurn
from settling.systems import Systems
from tests.support.settlements import (
    eventually,
    fetch_events,
    fetch_run_chain,
    let_no_timeout_decide,
    of_type,
    opening_of,
    replaced,
    require_clean,
    require_settled,
    running_worker,
    seed_orders,
    settle,
)
from workflows.batch_client import start_batch_workflow

CHUNK_COUNT = 3 * limits.WORKER_ACTIVITY_SLOT_COUNT
# At one credit a second, half of the chunks take five minutes, longer than the test.
CHUNK_SIZE = 25


async def test_a_capped_batch_with_all_its_chunks_in_flight_leaves_slots_to_others(
    client: Client, systems: Systems, batch_id: str
) -> None:
    await seed_orders(systems, CHUNK_COUNT * CHUNK_SIZE, prefix="C-", bad_rate=0)
    opening = opening_of(f"{batch_id}-capped", chunk_size=CHUNK_SIZE, window=CHUNK_COUNT)
    capped = opening.model_copy(update={"credits_per_s": 1})
    other = opening_of(f"{batch_id}-other", chunk_size=50, window=2)

    async def nearly_all_sleep() -> bool:
        chunk_ids = [chunk_workflow_id(capped.batch_id, index) for index in range(CHUNK_COUNT)]
        try:
            histories = [await fetch_events(client, chunk_id) for chunk_id in chunk_ids]
        except RPCError:  # some are not started yet
            return False
        return sum(bool(of_type(each, EventType.EVENT_TYPE_TIMER_STARTED)) for each in histories) >= CHUNK_COUNT - 2

    async with running_worker(client, batch_id, systems):
        await start_batch_workflow(client, batch_id, capped)
        await eventually(nearly_all_sleep)
        orders = await seed_orders(systems, 300, seed=2, prefix="O-")
        _, result = await settle(client, batch_id, other)
        await require_settled(systems, result, other, orders)
        progress = await systems.store.batches.fetch_progress(capped.batch_id)
        assert progress.chunk_closed_count < CHUNK_COUNT / 2


async def test_a_chunk_that_waits_long_continues_as_new(
    client: Client, systems: Systems, batch_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_no_timeout_decide(monkeypatch)
    monkeypatch.setattr(limits, "CREDIT_TURN_WAIT_S_MAX", 0)
    monkeypatch.setattr(limits, "CREDIT_TURN_LEAD_S", 0)
    monkeypatch.setattr(limits, "CREDIT_TURN_AHEAD_S", 0.01)
    orders = await seed_orders(systems, 20)
    opening = opening_of(batch_id, chunk_size=20, window=1)
    asked: list[bool] = []

    async def take_credits(_batch_id: str, _order_count: int, _cap: int | None, *, is_promised: bool) -> CreditTurn:
        asked.append(is_promised)
        return CreditTurn(is_taken=len(asked) > 20, wait_s=0.01 if len(asked) <= 20 else 0, is_promised=True)

    capped = replace(systems, store=replaced(systems.store, "take_credits", take_credits))
    async with running_worker(client, batch_id, capped):
        _, result = await settle(client, batch_id, opening)
        await require_settled(systems, result, opening, orders)
    started = of_type(await fetch_events(client, batch_id), EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED)
    first_run_id = started[0].child_workflow_execution_started_event_attributes.workflow_execution.run_id
    runs = await fetch_run_chain(client, chunk_workflow_id(batch_id, 0), first_run_id)
    assert len(runs) > 1
    assert max(map(len, runs)) < 120
    assert asked == [False, *[True] * 20]
    await require_clean(systems, len(orders.records))
