"""`settle worker`: run workflows and activities until told to stop."""

import asyncio
import logging
import os
import signal

from runtime.adapters import open_ports, require_migrated
from runtime.logs import configure_logs
from runtime.settings import load_settings
from starters.console import run_command
from workers.settlement_worker import serve

_log = logging.getLogger(__name__)


def worker() -> None:
    """Run a worker until SIGINT or SIGTERM; running activities get a grace period to finish.

    It logs on stderr, one JSON object a line; at a terminal plain text.
    """
    configure_logs()
    run_command(_run())


async def _run() -> None:
    settings = load_settings()
    for notice in await require_migrated(settings):
        _log.warning(notice)
    stop = asyncio.Event()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signal_number, stop.set)
    async with open_ports(settings) as (order_center, store, fund_platform):
        await serve(settings, order_center, store, fund_platform, stop)
    _log.info("worker has stopped", extra={"pid": os.getpid()})
