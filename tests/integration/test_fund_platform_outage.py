"""While the Fund Platform is down, nothing is isolated, failed or held, and its credits are requested again.

    OUTAGE_S=300 .venv/bin/pytest tests/integration/test_fund_platform_outage.py

keeps it down for five minutes. The default is a few seconds.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from temporalio.client import Client

from domain.identifiers import chunk_workflow_id
from runtime.settings import Settings
from runtime.stack_state import StackState
from schemas.wire.control import ControlInput
from schemas.wire.reasons import ReasonCode
from schemas.wire.totals import ControlTotals
from settling.systems import Systems
from tests.support.databases import DatabaseUrls
from tests.support.settlements import (
    Gate,
    eventually,
    fetch_events,
    held,
    opening_of,
    replaced,
    require_clean,
    require_settled,
    rerun_opening_of,
    running_worker,
    seed_orders,
    settle,
)
from workers.settlement_worker import build_worker
from workflows.batch_client import start_batch_workflow
from workflows.settle_batch import SettleBatchWorkflow

OUTAGE_S = float(os.environ.get("OUTAGE_S", "6"))
CHUNK_SIZE = 250
CHUNK_COUNT = 64
FIRST_CHUNK_COUNT = 3
ORDER_COUNT = CHUNK_COUNT * CHUNK_SIZE
WAIT_S = 180.0


@asynccontextmanager
async def away(stack: StackState, database_url: str) -> AsyncIterator[None]:
    """Make a database refuse connections, and cut its current ones."""
    name = urlsplit(database_url).path.removeprefix("/")
    connection = await asyncpg.connect(stack.database_url)
    try:
        await connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        await connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
        yield
    finally:
        await connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
        await connection.close()


async def scheduled_activities(client: Client, batch_id: str, chunk_count: int) -> set[str]:
    """Return the types of activities that a batch's chunks scheduled."""
    return {
        event.activity_task_scheduled_event_attributes.activity_type.name
        for chunk_index in range(chunk_count)
        for event in await fetch_events(client, chunk_workflow_id(batch_id, chunk_index))
        if event.HasField("activity_task_scheduled_event_attributes")
    }


@pytest.mark.timeout(OUTAGE_S + 3 * WAIT_S)
async def test_an_outage_of_the_fund_platform_isolates_fails_and_holds_nothing(
    client: Client, stack: StackState, databases: DatabaseUrls, systems: Systems, batch_id: str
) -> None:
    orders = await seed_orders(systems, ORDER_COUNT)
    opening = opening_of(batch_id, chunk_size=CHUNK_SIZE, window=4)
    gate = Gate()  # the outage must precede the requests of all chunks but the first
    first_ids = {chunk_workflow_id(batch_id, chunk_index) for chunk_index in range(FIRST_CHUNK_COUNT)}
    slow = replace(
        systems,
        fund_platform=held(
            systems.fund_platform, "post_credits", gate, lambda reference, _: reference not in first_ids
        ),
    )
    async with running_worker(client, batch_id, slow):
        handle = await start_batch_workflow(client, batch_id, opening)

        async def fetch_closed_count() -> int:
            return (await systems.store.batches.fetch_progress(batch_id)).chunk_closed_count

        async def are_first_closed() -> bool:
            return await fetch_closed_count() == FIRST_CHUNK_COUNT

        await gate.reached()
        await eventually(are_first_closed)
        async with away(stack, databases.fund_platform):
            began_s = time.monotonic()
            await gate.open()
            while time.monotonic() - began_s < OUTAGE_S:
                assert await fetch_closed_count() == FIRST_CHUNK_COUNT, "it was settled without the Fund Platform"
                await asyncio.sleep(0.5)
        async with asyncio.timeout(WAIT_S):
            result = await handle.result()
    assert (result.totals.failed, result.totals.held) == (ControlTotals(), ControlTotals())
    await require_settled(systems, result, opening, orders)
    await require_clean(systems, ORDER_COUNT)
    assert await scheduled_activities(client, batch_id, CHUNK_COUNT) == {"validate_chunk", "credit_chunk"}


async def test_credits_not_answered_by_the_deadline_are_held_and_the_batch_pauses(
    client: Client, systems: Systems, batch_id: str
) -> None:
    orders = await seed_orders(systems, 100, bad_rate=0)
    is_away = True

    async def post_credits(*arguments: Any) -> object:
        answers = await systems.fund_platform.credits.post_credits(*arguments)
        if is_away and arguments[0] == chunk_workflow_id(batch_id, 1):
            raise TimeoutError("the answer was lost")
        return answers

    mute = replace(systems, fund_platform=replaced(systems.fund_platform, "post_credits", post_credits))
    settings = Settings(credit_deadline_s=1).batch_settings
    opening = opening_of(batch_id, chunk_size=50, window=2)
    await systems.store.filling.open_batch(opening)
    async with build_worker(client, batch_id, mute, batch_settings=settings):
        handle = await start_batch_workflow(client, batch_id, opening)

        async def paused() -> str | None:
            actions = await systems.store.control.fetch_control_actions(batch_id)
            return actions[-1].reason if actions else None

        reason = await eventually(paused)
        assert reason.startswith("Chunk 1: the outcome of its credits is unknown, so 50 orders are held.")
        assert "retried for 1 s without an answer" in reason
        assert "the answer was lost" in reason
        await handle.execute_update(SettleBatchWorkflow.resume, ControlInput(requested_by="a test"))
        result = await handle.result()
        assert (result.totals.settled.order_count, result.totals.held.order_count) == (50, 50)
        assert await systems.store.batches.fetch_reason_counts(batch_id) == {ReasonCode.OUTCOME_UNKNOWN: 50}
        assert await scheduled_activities(client, batch_id, 2) == {"validate_chunk", "credit_chunk", "hold_chunk"}
        is_away = False
        _, rerun = await settle(client, batch_id, rerun_opening_of(f"{batch_id}-rerun", batch_id))
    assert rerun.totals.settled.order_count == 50
    report = await require_clean(systems, 100)
    assert report.ledger == orders.settled
