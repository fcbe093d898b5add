"""The same SQL in chunks, without orchestration. Nothing resumes it after a crash."""

import asyncio
import time
from contextlib import suppress
from multiprocessing.connection import Connection

from bench.contestants.peer_processes import obey, peer_processes
from bench.contestants.settlement_steps import CHUNKS_AT_A_TIME, settlement_steps
from bench.settlement_run import RUN_TIMEOUT_S
from runtime.settings import Settings
from schemas.wire.batches import BatchOpening


def run_chunked_sql(settings: Settings, opening: BatchOpening, chunk_count: int) -> float:
    """Settle all overdue orders. Return the seconds from the start of freezing until the batch is closed."""
    with peer_processes(_serve, settings, opening) as processes:
        started_s = time.perf_counter()
        first = processes[0]
        first.tell("freeze")
        first.await_done(RUN_TIMEOUT_S)
        for number, process in enumerate(processes):
            process.tell("settle", range(number, chunk_count, len(processes)))
        for process in processes:
            process.await_done(RUN_TIMEOUT_S)
        first.tell("close")
        first.await_done(RUN_TIMEOUT_S)
        return time.perf_counter() - started_s


def _serve(connection: Connection, _number: int, settings: Settings, opening: BatchOpening) -> None:
    with suppress(EOFError):
        asyncio.run(_obey(connection, settings, opening))


async def _obey(connection: Connection, settings: Settings, opening: BatchOpening) -> None:
    async with settlement_steps(settings, opening) as steps:
        room = asyncio.Semaphore(CHUNKS_AT_A_TIME)

        async def settle_one(chunk_index: int) -> None:
            async with room:
                await steps.settle(chunk_index)

        async def do(command: str, chunk_indexes: range = range(0)) -> None:
            match command:
                case "freeze":
                    await steps.freeze()
                case "settle":
                    await asyncio.gather(*map(settle_one, chunk_indexes))
                case "close":
                    await steps.close()

        await obey(connection, do)
