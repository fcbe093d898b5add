"""Kill the only worker and measure how soon its replacement closes a chunk."""

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path

from bench.settle_processes import SettleProcesses
from bench.settlement_run import KILL_AT_FRACTION, READY_TIMEOUT_S, RUN_TIMEOUT_S, environment_of
from domain.batch_openings import plan_manual_opening
from runtime.adapters import open_settlement_store
from runtime.settings import Settings
from runtime.temporal import connect_temporal
from settlement_store.port import SettlementStore
from workflows.batch_client import start_batch_workflow

_POLL_INTERVAL_S = 0.02


async def replace_only_worker(settings: Settings, log_dir: Path, *, batch_id: str) -> float:
    """Settle all overdue orders as one batch with one worker, kill it (SIGKILL), start another, and await the end.

    Args:
        settings: the databases, the Temporal server and this run's own task queue.
        log_dir: the folder for the workers' logs.
        batch_id: the id of the new batch.

    Returns:
        The seconds from the start of the second worker's process to the next closed chunk.

    Raises:
        TimeoutError: the batch did not end within `RUN_TIMEOUT_S`.
        ValueError: all chunks were closed before the kill. Use more orders.
    """
    client = await connect_temporal(settings)
    with SettleProcesses(log_dir, environment_of(settings)) as workers:
        pid = workers.start("worker")
        await workers.wait_until_workers_serve(READY_TIMEOUT_S)
        async with asyncio.timeout(RUN_TIMEOUT_S), open_settlement_store(settings) as store:
            opening = plan_manual_opening(settings.batch_settings, datetime.now(UTC), batch_id=batch_id)
            await store.filling.open_batch(opening)
            handle = await start_batch_workflow(client, settings.task_queue, opening)
            await _until_closed(store, batch_id, KILL_AT_FRACTION)
            workers.kill(pid)
            before = await store.batches.fetch_progress(batch_id)
            if before.chunk_closed_count == before.chunk_count:
                raise ValueError(
                    f"All chunks of batch {batch_id} were closed before its worker was killed. Use more orders."
                )
            started_s = time.monotonic()
            workers.start("worker")
            await _until_closed(store, batch_id, (before.chunk_closed_count + 1) / before.chunk_count)
            replaced_s = time.monotonic() - started_s
            await handle.result()
    return replaced_s


async def _until_closed(store: SettlementStore, batch_id: str, fraction: float) -> None:
    """Wait until at least this fraction of the batch's chunks is closed."""
    while True:
        progress = await store.batches.fetch_progress(batch_id)
        if progress.chunk_count and progress.chunk_closed_count >= fraction * progress.chunk_count:
            return
        await asyncio.sleep(_POLL_INTERVAL_S)
