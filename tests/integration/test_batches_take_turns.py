"""A small batch is not stuck behind a big one: their tasks take turns, chunk by chunk."""

from temporalio.client import Client

from domain.errors import BatchNotFoundError
from domain.limits import WINDOW_MAX
from runtime.batch_starts import start_batch
from settling.systems import Systems
from tests.settlements import eventually, opening_of, require_settled, running_worker, seed_orders, settle

BIG_ORDER_COUNT = 200_000
BIG_CHUNK_SIZE = 1_000
SMALL_ORDER_COUNT = 200

# How many of the big batch's 200 chunks may be closed from the small one's start to its end. Measured on 2 cores, idle
# and busy: 56 to 83 taking turns, 172 first come, first served. Decision 0014 says what the small one waits for.
BIG_CHUNK_COUNT_MAX = 120


async def test_a_small_run_beside_a_big_one_with_all_its_chunks_in_flight_ends_long_before_it(
    client: Client, systems: Systems, batch_id: str
) -> None:
    await seed_orders(systems, BIG_ORDER_COUNT, prefix="B-")
    small = opening_of(f"{batch_id}-small", chunk_size=100, window=2)

    async def chunk_closed_count() -> int:
        try:
            return (await systems.store.batches.fetch_progress(batch_id)).chunk_closed_count
        except BatchNotFoundError:
            return 0

    async with running_worker(client, batch_id, systems):
        big = await start_batch(client, batch_id, opening_of(batch_id, chunk_size=BIG_CHUNK_SIZE, window=WINDOW_MAX))
        await eventually(chunk_closed_count)
        orders = await seed_orders(systems, SMALL_ORDER_COUNT, seed=2, prefix="S-")
        closed_before = await chunk_closed_count()
        _, result = await settle(client, batch_id, small)
        closed_meanwhile = await chunk_closed_count() - closed_before
        await big.terminate("the small batch is closed")
    await require_settled(systems, result, small, orders)
    assert closed_meanwhile <= BIG_CHUNK_COUNT_MAX
    assert closed_before + closed_meanwhile < BIG_ORDER_COUNT // BIG_CHUNK_SIZE
