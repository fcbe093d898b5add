"""A run that takes in and settles the orders waiting on Kafka with Settle's processes, and kills a worker meanwhile."""

import asyncio
import time
from pathlib import Path
from typing import NamedTuple

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from temporalio.client import Client

from bench.settle_processes import SettleProcesses
from bench.worker_kill import Kill, KillCost, fetch_kill_cost, kill_busiest_worker
from domain import limits
from runtime.adapters import open_settlement_store
from runtime.settings import Settings
from runtime.temporal import connect_temporal
from schemas.wire.batches import FINAL_STATES, BatchState
from settlement_store.port import SettlementStore
from starters.console import err

WORKER_COUNT = 2
KILL_AT_FRACTION = 0.4
_POLL_INTERVAL_S = 0.05
_READY_TIMEOUT_S = 30
_RUN_TIMEOUT_S = 3600


class KafkaRun(NamedTuple):
    """A finished run. `settle_s` runs from intake's assignment of partitions until all batches are closed."""

    batch_ids: list[str]
    settle_s: float
    kill: Kill | None
    kill_cost: KillCost | None


class _Standing(NamedTuple):
    """The progress of all batches together."""

    batch_ids: list[str]
    running_ids: list[str]
    planned: int
    answered: int
    are_final: bool


async def settle_from_kafka(settings: Settings, log_dir: Path, order_count: int) -> KafkaRun:
    """Take in all announced orders with one intake process, settle them with two workers, and show a progress bar.

    At `KILL_AT_FRACTION` it kills the worker with the most chunks in flight (SIGKILL) and starts another.

    Args:
        settings: the run's settings. The processes get its batch and chunk sizes.
        log_dir: the folder for the processes' logs.
        order_count: the number of announced orders, each announced once.
    """
    client = await connect_temporal(settings)
    environment = {
        "SETTLE_STACK_DIR": str(settings.stack_dir),
        "SETTLE_CHUNK_SIZE": str(settings.chunk_size),
        "SETTLE_INTAKE_BATCH_SIZE": str(settings.intake_batch_size),
    }
    with SettleProcesses(log_dir, environment) as processes:
        for _ in range(WORKER_COUNT):
            processes.start("worker")
        await processes.wait_until_workers_serve(_READY_TIMEOUT_S)
        processes.start("intake")
        # The measured time must not include the processes' start and the joining of the consumer group.
        await processes.wait_until_said("intake", "partitions assigned", _READY_TIMEOUT_S)
        started = time.perf_counter()
        async with asyncio.timeout(_RUN_TIMEOUT_S), open_settlement_store(settings) as store:
            killing = asyncio.create_task(_kill_at_fraction(client, store, processes, order_count))
            batch_ids = await follow_until_closed(store, order_count)
            settle_s = time.perf_counter() - started
            hit = await killing
        return KafkaRun(batch_ids, settle_s, hit, await fetch_kill_cost(client, hit) if hit else None)


async def _fetch_standing(store: SettlementStore) -> _Standing:
    batches = await store.batches.fetch_batches(limits.BATCH_LIST_COUNT_MAX)
    progresses = await asyncio.gather(*(store.batches.fetch_progress(batch.batch_id) for batch in batches))
    return _Standing(
        batch_ids=[batch.batch_id for batch in reversed(batches)],
        running_ids=[batch.batch_id for batch in batches if batch.state == BatchState.RUNNING],
        planned=sum(each.planned for each in progresses),
        answered=sum(each.settled + each.rejected + each.failed + each.held for each in progresses),
        are_final=all(batch.state in FINAL_STATES for batch in batches),
    )


async def follow_until_closed(store: SettlementStore, order_count: int) -> list[str]:
    """Show a progress bar until all orders are in final batches. Return the batches' ids, oldest first."""
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=20), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err) as bar:
        taken_in = bar.add_task("taken in from Kafka", total=order_count)
        answered = bar.add_task("settled or rejected", total=order_count)
        while True:
            standing = await _fetch_standing(store)
            bar.update(taken_in, completed=standing.planned)
            bar.update(answered, completed=standing.answered)
            if standing.planned == order_count and standing.are_final:
                return standing.batch_ids
            await asyncio.sleep(_POLL_INTERVAL_S)


async def _kill_at_fraction(
    client: Client, store: SettlementStore, processes: SettleProcesses, order_count: int
) -> Kill | None:
    """Wait for the fraction, then retry until a kill hits work in flight. Return None if all is settled first."""
    fraction = 0.0
    while fraction < 1:
        standing = await _fetch_standing(store)
        fraction = standing.answered / order_count
        if fraction >= KILL_AT_FRACTION:
            kill = await kill_busiest_worker(client, store, standing.running_ids, processes, fraction)
            if kill:
                return kill
        await asyncio.sleep(_POLL_INTERVAL_S)
    return None
