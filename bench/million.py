"""Measure the rate, memory and history length of a batch of a million orders, beside those of the comparison."""

import asyncio
import os
import statistics
import subprocess
from pathlib import Path
from typing import NamedTuple

import psycopg

from bench.children import fetch_history_event_counts
from bench.databases import clone_database, drop_database, own_database, settings_of
from bench.freezing import measure_freezing
from bench.fresh_stack import say
from bench.settle_processes import SETTLE
from bench.settlement_run import run_settlement
from runtime.settings import Settings
from runtime.temporal import connect_temporal

ORDER_COUNT = 1_000_000
ROUND_COUNT = 5
_SAMPLE_SEED = "2"


class _Measured(NamedTuple):
    orders_per_s: float
    worker_rss_mb_max: float
    history_events_max: int
    disk_bytes_per_order: float


def measure_million(settings: Settings, order_count: int, empty_url: str, directory: Path) -> dict[str, float]:
    """Settle the comparison's orders and a million orders in alternation, so that both run under the same conditions.

    Args:
        settings: the benchmark's settings. Their database has the comparison's orders.
        order_count: the number of the comparison's orders.
        empty_url: a migrated database without orders.
        directory: the folder for order files and logs.
    """
    url = clone_database(empty_url, "million")
    import_sample(url, directory / "million.csv", ORDER_COUNT)
    million = settings_of(settings, url, "million")
    freezing = measure_freezing(million, ORDER_COUNT)
    usual, runs = [], []
    for number in range(ROUND_COUNT):
        usual.append(_settle(settings, order_count, f"usual-{number}", directory))
        runs.append(_settle(million, ORDER_COUNT, f"million-{number}", directory))
    drop_database(url)
    per_s, usual_per_s = (statistics.median(run.orders_per_s for run in each) for each in (runs, usual))
    return {
        "orders": ORDER_COUNT,
        "settle_orders_per_s": per_s,
        "settle_orders_per_s_at_100k": usual_per_s,
        "settle_of_settle_at_100k": per_s / usual_per_s,
        **freezing,
        "worker_rss_mb_max": max(run.worker_rss_mb_max for run in runs),
        "worker_rss_mb_max_at_100k": max(run.worker_rss_mb_max for run in usual),
        "history_events_max": max(run.history_events_max for run in runs),
        "disk_bytes_per_order": max(run.disk_bytes_per_order for run in runs),
    }


def _settle(settings: Settings, order_count: int, name: str, directory: Path) -> _Measured:
    with own_database(settings, name) as own:
        byte_count = _count_bytes(own.database_url)
        run = run_settlement(own, directory / "logs" / name)
        byte_count = _count_bytes(own.database_url) - byte_count
        chunk_count = -(-order_count // own.chunk_size)
        measured = _Measured(
            order_count / run.settle_s,
            run.worker_rss_mb_max,
            asyncio.run(_fetch_history_event_count_max(own, run.batch_id, chunk_count)),
            byte_count / order_count,
        )
    say(f"{order_count:,} orders in {run.settle_s:.1f} s, {measured.orders_per_s:,.0f} orders/s")
    return measured


def import_sample(database_url: str, order_file: Path, order_count: int) -> None:
    """Fill a migrated database with sample orders."""
    environment = os.environ | {"SETTLE_DATABASE_URL": database_url}
    for arguments in (
        ("sample", str(order_file), "--orders", str(order_count), "--seed", _SAMPLE_SEED),
        ("import", str(order_file)),
    ):
        say(f"$ settle {' '.join(arguments)}")
        subprocess.run([SETTLE, *arguments], check=True, env=environment, stdout=subprocess.DEVNULL)


def _count_bytes(database_url: str) -> int:
    with psycopg.connect(database_url) as connection:
        row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    return int(row[0]) if row else 0


async def _fetch_history_event_count_max(settings: Settings, batch_id: str, chunk_count: int) -> int:
    return max(await fetch_history_event_counts(await connect_temporal(settings), batch_id, chunk_count))
