"""Ten times as many orders: is a batch of a million settled as fast, with as little memory, in histories as short?"""

import asyncio
import os
import subprocess
from pathlib import Path

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
_SAMPLE_SEED = "2"


def measure_million(
    settings: Settings, empty_url: str, directory: Path, worker_rss_mb_max_at_100k: float
) -> dict[str, float]:
    """Settle a million orders once.

    Args:
        settings: the measurement's.
        empty_url: a migrated database without orders.
        directory: for files.
        worker_rss_mb_max_at_100k: the most memory that a worker had resident with fewer orders.
    """
    url = clone_database(empty_url, "million")
    import_sample(url, directory / "million.csv", ORDER_COUNT)
    million = settings_of(settings, url, "million")
    freezing = measure_freezing(million, ORDER_COUNT)
    with own_database(million, "million-settled") as own:
        byte_count = _count_bytes(own.database_url)
        run = run_settlement(own, directory / "logs" / "million")
        byte_count = _count_bytes(own.database_url) - byte_count
        chunk_count = -(-ORDER_COUNT // own.chunk_size)
        event_count_max = asyncio.run(_fetch_history_event_count_max(own, run.batch_id, chunk_count))
    drop_database(url)
    say(f"{ORDER_COUNT:,} orders in {run.settle_s:.1f} s, {ORDER_COUNT / run.settle_s:,.0f} orders/s")
    return {
        "orders": ORDER_COUNT,
        "settle_orders_per_s": ORDER_COUNT / run.settle_s,
        **freezing,
        "worker_rss_mb_max": run.worker_rss_mb_max,
        "worker_rss_mb_max_at_100k": worker_rss_mb_max_at_100k,
        "history_events_max": event_count_max,
        "disk_bytes_per_order": byte_count / ORDER_COUNT,
    }


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
