"""Measure freezing through the ports, and the bare statement that writes the same rows."""

import asyncio
import statistics
import time
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from bench.contestants.settlement_steps import settlement_steps
from bench.databases import own_database
from bench.fresh_stack import say
from domain.batch_openings import plan_manual_opening
from runtime.garbage import collect_garbage_seldom
from runtime.settings import Settings

ROUND_COUNT = 5
_BARE_SQL = Path(__file__).with_name("bare_freeze.sql")


def measure_freezing(settings: Settings, order_count: int) -> dict[str, float]:
    """Freeze all overdue orders of a database and write the same rows with the bare statement, in alternation.

    Args:
        settings: point to the database. It stays unchanged, because each run has its own copy.
        order_count: the number of orders in the database.
    """
    collect_garbage_seldom()
    freeze_s, bare_s = [], []
    for number in range(ROUND_COUNT):
        with own_database(settings, f"freeze-{number}") as own:
            freeze_s.append(asyncio.run(_freeze(own)))
        with own_database(settings, f"bare-freeze-{number}") as own:
            bare_s.append(_run_bare(own.database_url))
        say(f"freezing {order_count:,} orders: {freeze_s[-1]:.2f} s, the bare statement {bare_s[-1]:.2f} s")
    ratio = statistics.median(freeze_s) / statistics.median(bare_s)
    return {
        "freezing_s": statistics.median(freeze_s),
        "bare_freezing_s": statistics.median(bare_s),
        "freezing_of_bare": ratio,
    }


async def _freeze(own: Settings) -> float:
    opening = plan_manual_opening(own.batch_settings, datetime.now(UTC), batch_id=own.task_queue)
    async with settlement_steps(own, opening) as steps:
        started_s = time.perf_counter()
        await steps.freeze()
        return time.perf_counter() - started_s


def _run_bare(database_url: str) -> float:
    with psycopg.connect(database_url) as connection:
        started_s = time.perf_counter()
        connection.execute(_BARE_SQL.read_bytes())
        connection.commit()
        return time.perf_counter() - started_s
