"""A run that settles one batch with worker processes, with or without killing one of them."""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, NamedTuple

from temporalio.client import Client

from bench.settle_processes import SettleProcesses
from bench.worker_kill import Kill, KillCost, fetch_kill_cost, kill_busiest_worker
from domain.batch_openings import plan_manual_opening
from runtime.adapters import open_settlement_store
from runtime.settings import Settings
from runtime.temporal import connect_temporal
from settlement_store.port import SettlementStore
from workflows.batch_client import start_batch_workflow

WORKER_COUNT = 2
Role = Literal["all", "workflows", "activities"]
DEFAULT_ROLES: Sequence[Role] = ["all"] * WORKER_COUNT
KILL_AT_FRACTION = 0.4
_POLL_INTERVAL_S = 0.02
READY_TIMEOUT_S = 180
RUN_TIMEOUT_S = 3600


class SettlementRun(NamedTuple):
    """A finished run. `settle_s` runs from the start of the batch's workflow to its end."""

    batch_id: str
    settle_s: float
    worker_rss_mb_max: float
    kill: Kill | None
    kill_cost: KillCost | None


def environment_of(settings: Settings) -> dict[str, str]:
    """Return the environment variables that point a worker at a run's stack, database and task queue."""
    return {
        "SETTLE_STACK_DIR": str(settings.stack_dir),
        "SETTLE_DATABASE_URL": settings.database_url,
        "SETTLE_TASK_QUEUE": settings.task_queue,
    }


async def settle_one_batch(
    settings: Settings, log_dir: Path, *, batch_id: str, kill: bool, roles: Sequence[Role] = DEFAULT_ROLES
) -> SettlementRun:
    """Start workers and settle all overdue orders as one batch.

    Args:
        settings: the databases, the Temporal server and this run's own task queue.
        log_dir: the folder for the workers' logs.
        batch_id: the id of the new batch.
        kill: at `KILL_AT_FRACTION`, kill the worker with the most chunks in flight (SIGKILL) and start another.
        roles: one worker is started for each.
    """
    client = await connect_temporal(settings)
    with SettleProcesses(log_dir, environment_of(settings)) as workers:
        for role in roles:
            if role == "all":
                workers.start("worker")
            else:
                workers.start_module("bench.worker", role)
        await workers.wait_until_workers_serve(READY_TIMEOUT_S)  # the measured time must not include their start
        async with asyncio.timeout(RUN_TIMEOUT_S), open_settlement_store(settings) as store:
            opening = plan_manual_opening(settings.batch_settings, datetime.now(UTC), batch_id=batch_id)
            await store.filling.open_batch(opening)
            started = time.perf_counter()
            handle = await start_batch_workflow(client, settings.task_queue, opening)
            killing = asyncio.create_task(_kill_at_fraction(client, store, batch_id, workers)) if kill else None
            await handle.result()
            settle_s = time.perf_counter() - started
        hit = await killing if killing else None
        rss_mb_max = max(read_peak_rss_mb(pid) for pid in workers.pids)
        return SettlementRun(batch_id, settle_s, rss_mb_max, hit, await fetch_kill_cost(client, hit) if hit else None)


def run_settlement(settings: Settings, log_dir: Path, *, roles: Sequence[Role] = DEFAULT_ROLES) -> SettlementRun:
    """Settle all overdue orders as one batch, whose id is its task queue's name. No worker is killed."""
    return asyncio.run(settle_one_batch(settings, log_dir, batch_id=settings.task_queue, kill=False, roles=roles))


def read_peak_rss_mb(pid: int) -> float:
    """Return the peak resident memory of a process in MB. Works only on Linux."""
    status = Path(f"/proc/{pid}/status").read_text()
    peak_kb = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(peak_kb) * 1024 / 1e6


async def _kill_at_fraction(
    client: Client, store: SettlementStore, batch_id: str, workers: SettleProcesses
) -> Kill | None:
    """Wait for the fraction, then retry until a kill hits work in flight. Return None if the batch ends first."""
    fraction = 0.0
    while fraction < 1:
        progress = await store.batches.fetch_progress(batch_id)
        fraction = progress.chunk_closed_count / max(progress.chunk_count, 1)
        if fraction >= KILL_AT_FRACTION:
            kill = await kill_busiest_worker(client, store, [batch_id], workers, fraction)
            if kill:
                return kill
        await asyncio.sleep(_POLL_INTERVAL_S)
    return None
