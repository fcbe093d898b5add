"""`settle worker`: run workflows and activities until told to stop."""

import asyncio
import os
import signal

import typer

from runtime.adapters import open_ports
from runtime.temporal import connect_temporal
from starters.console import load_ready_settings, run_command
from workers.settlement_worker import build_worker


def worker() -> None:
    """Run a worker until SIGINT or SIGTERM; running activities get a grace period to finish."""
    run_command(_run())


async def _run() -> None:
    settings = await load_ready_settings()
    client = await connect_temporal(settings)
    stop = asyncio.Event()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signal_number, stop.set)
    async with open_ports(settings) as (order_center, store, fund_platform):
        worker_process = build_worker(
            client, settings.task_queue, order_center, store, fund_platform, settings.batch_settings
        )
        async with worker_process:
            typer.echo(f"Worker {os.getpid()} serves the task queue {settings.task_queue!r}.", err=True)
            await stop.wait()
        typer.echo(f"Worker {os.getpid()} has stopped.", err=True)
