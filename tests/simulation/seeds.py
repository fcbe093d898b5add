"""Run seeds one after another on their own test server."""

import asyncio
import logging
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from tests.simulation.servers import temporal_test_server
from tests.simulation.simulator import SeedReport, simulate
from tests.simulation.world import Storage, memory_storage, postgres_storage
from tests.support.databases import cloned_database

# Some seeds need PostgreSQL, because the guards of last resort are in the database.
POSTGRES_EVERY = 4


def uses_postgres(seed: int) -> bool:
    """Return whether a seed's systems are on PostgreSQL. Those of the other seeds are in memory."""
    return seed % POSTGRES_EVERY == 0


async def run_seeds(seeds: Iterable[int], database_url: str | None) -> AsyncGenerator[SeedReport, None]:
    """Run seeds one after another, and yield each report as soon as its seed has ended.

    Args:
        seeds: the seeds.
        database_url: a PostgreSQL server with the migrated templates, or None if no seed uses it.
    """
    async with temporal_test_server() as client:
        for seed in seeds:
            async with storage_of(seed, database_url) as storage:
                report = await simulate(client, seed, storage)
            yield report


def storage_of(seed: int, database_url: str | None) -> AbstractAsyncContextManager[Storage]:
    """Return empty systems for a seed."""
    if not uses_postgres(seed):
        return memory_storage()
    if database_url is None:
        raise ValueError(f"Seed {seed} needs PostgreSQL, but no database URL was given.")
    return _cloned_storage(database_url)


@asynccontextmanager
async def _cloned_storage(database_url: str) -> AsyncIterator[Storage]:
    with cloned_database(database_url, "template_all") as url:
        async with postgres_storage(url) as storage:
            yield storage


def run_share(seeds: Sequence[int], database_url: str | None) -> list[SeedReport]:
    """Run seeds in this process and print a line for each."""
    logging.disable()

    async def run() -> list[SeedReport]:
        reports = []
        async for report in run_seeds(seeds, database_url):
            reports.append(report)
            sys.stdout.write(describe(report))
            sys.stdout.flush()
        return reports

    return asyncio.run(run())


def describe(report: SeedReport) -> str:
    """Return a line about a seed. If it failed, add what was wrong and the command that runs it again."""
    where = "PostgreSQL" if uses_postgres(report.seed) else "memory"
    fate = "FAILED" if report.faults else "ok"
    line = (
        f"seed {report.seed} ({where}): {fate}; {report.order_count} orders, {report.batch_count} batches, "
        f"{report.dealt.total()} faults\n"
    )
    if not report.faults:
        return line
    return "".join(
        [line, *(f"  {fault}\n" for fault in report.faults), f"  again: make simulate SEEDS=1 SEED={report.seed}\n"]
    )
