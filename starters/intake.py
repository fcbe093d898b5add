"""`settle intake`: take orders in from Kafka until a signal stops it."""

import asyncio

from runtime.adapters import open_settlement_store
from runtime.kafka import require_topics
from runtime.settings import Settings
from starters.processes import run_process
from workers.intake import serve_intake


def intake() -> None:
    """Take overdue orders in from Kafka and start the batches that they fill, until SIGINT or SIGTERM.

    Logs go to stderr, one JSON object a line; at a terminal as plain text.
    """
    run_process(_serve, {"Kafka": require_topics})


async def _serve(settings: Settings, stop: asyncio.Event) -> None:
    async with open_settlement_store(settings) as store:
        await serve_intake(settings, store, stop)
