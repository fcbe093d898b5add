"""DBOS on the same SQL: a durable workflow for the batch, a queued workflow for each chunk, and durable steps.

It follows DBOS's documentation: inputs and outputs are ids, workflows and steps are asynchronous, each process has its
own executor id, and the queue limits each process's concurrency. The queue is polled every 0.1 s, ten times as often
as by default, because that was the fastest of 0.01, 0.03, 0.05, 0.1 and 0.3 s. DBOS's system database is on the same
PostgreSQL server.
"""

import asyncio
import time
from contextlib import suppress
from multiprocessing.connection import Connection

from dbos import DBOS, DBOSConfig, SetWorkflowID

from bench.contestants.peer_processes import obey, peer_processes
from bench.contestants.settlement_steps import CHUNKS_AT_A_TIME, SettlementSteps, settlement_steps
from bench.settlement_run import RUN_TIMEOUT_S
from runtime.settings import Settings
from schemas.wire.batches import BatchOpening

QUEUE = "chunks"
POLLING_INTERVAL_S = 0.1
APPLICATION_VERSION = "bench"

_steps: SettlementSteps


def run_dbos(settings: Settings, opening: BatchOpening, system_database_url: str) -> float:
    """Settle all overdue orders. Return the seconds from the start of the batch's workflow to its end."""
    with peer_processes(_serve, settings, opening, system_database_url) as processes:
        started_s = time.perf_counter()
        processes[0].tell(opening.batch_id)
        processes[0].await_done(RUN_TIMEOUT_S)
        return time.perf_counter() - started_s


@DBOS.step()
async def freeze() -> int:
    """Freeze the batch and return its number of chunks."""
    return await _steps.freeze()


@DBOS.step()
async def settle(chunk_index: int) -> None:
    """Validate a chunk and credit it."""
    await _steps.settle(chunk_index)


@DBOS.step()
async def close() -> None:
    """Close the batch."""
    await _steps.close()


@DBOS.workflow()
async def settle_chunk(chunk_index: int) -> None:
    """Settle one chunk."""
    await settle(chunk_index)


@DBOS.workflow()
async def settle_batch() -> None:
    """Freeze the batch, settle all chunks and close the batch."""
    chunk_count = await freeze()
    handles = [
        await DBOS.enqueue_workflow_async(QUEUE, settle_chunk, chunk_index) for chunk_index in range(chunk_count)
    ]
    for handle in handles:
        await handle.get_result(polling_interval_sec=POLLING_INTERVAL_S)
    await close()


def _serve(
    connection: Connection, number: int, settings: Settings, opening: BatchOpening, system_database_url: str
) -> None:
    with suppress(EOFError):
        asyncio.run(_obey(connection, number, settings, opening, system_database_url))


async def _obey(
    connection: Connection, number: int, settings: Settings, opening: BatchOpening, system_database_url: str
) -> None:
    global _steps  # DBOS needs workflows and steps to be functions of a module
    config = DBOSConfig(
        name="settle-bench",
        system_database_url=system_database_url,
        application_version=APPLICATION_VERSION,
        executor_id=f"process-{number}",
        notification_listener_polling_interval_sec=POLLING_INTERVAL_S,
        log_level="ERROR",
    )
    async with settlement_steps(settings, opening) as _steps:
        DBOS(config=config)
        DBOS.launch()
        await DBOS.register_queue_async(
            QUEUE, worker_concurrency=CHUNKS_AT_A_TIME, polling_interval_sec=POLLING_INTERVAL_S
        )

        async def do(batch_id: str) -> None:
            with SetWorkflowID(batch_id):
                handle = await DBOS.start_workflow_async(settle_batch)
            await handle.get_result(polling_interval_sec=POLLING_INTERVAL_S)

        await obey(connection, do)
