from starters.migrate import add_search_attributes
import asyncio, sys, time, logging
from pathlib import Path
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment
from tests.simulation.simulator import simulate
from tests.simulation.world import memory_storage

async def main():
    logging.disable(logging.CRITICAL)
    first, number = int(sys.argv[1]), int(sys.argv[2])
    async with await WorkflowEnvironment.start_time_skipping(data_converter=pydantic_data_converter, test_server_existing_path=str(Path(sys.executable).with_name("temporal-test-server"))) as env:
        await add_search_attributes(env.client)
        env._auto_time_skipping=False
        for seed in range(first, first+number):
            t = time.monotonic()
            async with memory_storage() as storage:
                r = await simulate(env.client, seed, storage)
            print(seed, f"{time.monotonic()-t:.2f}", "ok" if not r.faults else "FAIL", r.order_count, r.batch_count, dict(r.dealt), flush=True)
            for f in r.faults: print("   ", f)
asyncio.run(main())
