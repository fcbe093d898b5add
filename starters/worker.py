"""`settle worker`: run workflows and activities until a signal stops it."""

import asyncio
import logging
import os

from runtime.adapters import open_systems
from runtime.settings import Settings
from runtime.temporal import connect_temporal
from starters.processes import run_process
from workers.settlement_worker import serve

_log = logging.getLogger(__name__)


def worker() -> None:
    """Run a worker, which executes workflows and activities, until SIGINT or SIGTERM.

    On a signal, running activities get a grace period to finish.
    Logs go to stderr, one JSON object a line; at a terminal as plain text.
    """
    run_process(_serve, {"Temporal": connect_temporal})


async def _serve(settings: Settings, stop: asyncio.Event) -> None:
    async with open_systems(settings) as systems:
        await serve(settings, systems, stop)
    _log.info("worker has stopped", extra={"pid": os.getpid()})
