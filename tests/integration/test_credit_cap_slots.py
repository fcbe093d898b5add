"""A batch that waits under a cap holds up no other one, and goes on when it was waiting long."""

from temporalio.api.enums.v1 import EventType
from temporalio.client import Client

from domain import limits
from domain.identifiers import chunk_workflow_id
from runtime.batch_starts import start_batch
from schemas.batches import BatchState
from tests.settlements import (
    Systems,
    eventually,
    fetch_events,
    fetch_run_chain,
    of_type,
    opening_of,
    require_clean,
    require_settled,
    running_worker,
    seed_orders,
    settle,
)

CHUNK_COUNT = 3 * limits.WORKER_ACTIVITY_SLOT_COUNT
CHUNK_SIZE = 10


async def test_a_capped_batch_with_all_its_chunks_in_flight_leaves_slots_to_others(
    client: Client, systems: Systems, batch_id: str
) -> None:
    await seed_orders(systems, CHUNK_COUNT * CHUNK_SIZE, prefix="C-", bad_rate=0)
    capped = opening_of(f"{batch_id}-capped", chunk_size=CHUNK_SIZE, window=CHUNK_COUNT)
    capped = capped.model_copy(update={"credits_per_s": 1})
    other = opening_of(f"{batch_id}-other", chunk_size=50, window=2)

    async def waiting_count() -> int:
        handles = [chunk_workflow_id(capped.batch_id, index) for index in range(CHUNK_COUNT)]
        timers = [of_type(await fetch_events(client, each), EventType.EVENT_TYPE_TIMER_STARTED) for each in handles]
        return sum(map(bool, timers)) >= CHUNK_COUNT - 1

    async with running_worker(client, batch_id, systems):
        handle = await start_batch(client, batch_id, capped)
        await eventually(waiting_count)
        orders = await seed_orders(systems, 300, seed=2, prefix="O-")
        _, result = await settle(client, batch_id, other)
        await require_settled(systems, result, other, orders)
        progress = await systems.store.fetch_progress(capped.batch_id)
        assert progress.chunk_closed_count < CHUNK_COUNT
        await handle.terminate("seen enough")
