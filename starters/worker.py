"""`settle worker`: run workflows and activities until told to stop."""

import asyncio

from runtime.adapters import open_ports
from runtime.settings import Settings
from starters.processes import run_process
from workers.settlement_worker import serve


def worker() -> None:
    """Run a worker until SIGINT or SIGTERM; running activities get a grace period to finish.

    It logs on stderr, one JSON object a line; at a terminal plain text.
    """
    run_process(_serve)


async def _serve(settings: Settings, stop: asyncio.Event) -> None:
    async with open_ports(settings) as (order_center, store, fund_platform):
        await serve(settings, order_center, store, fund_platform, stop)
