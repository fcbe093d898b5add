"""`settle relay`: deliver results to Kafka until told to stop."""

import asyncio
import logging
import os
import secrets
import signal
import socket
from functools import partial

from messaging.relay import ResultTopic, run_relay
from runtime.adapters import open_settlement_store, require_migrated
from runtime.kafka import open_producer
from runtime.logs import configure_logs
from runtime.settings import load_settings
from starters.console import run_command

_log = logging.getLogger(__name__)


def relay() -> None:
    """Deliver an event for every outcome to Kafka, until SIGINT or SIGTERM; start as many as you like.

    It logs on stderr, one JSON object a line; at a terminal plain text.
    """
    configure_logs()
    run_command(_run())


async def _run() -> None:
    settings = load_settings()
    for notice in await require_migrated(settings):
        _log.warning(notice)
    async with open_producer(settings):
        pass  # a wrong address is told now; later the relay waits for brokers that are away
    stop = asyncio.Event()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signal_number, stop.set)
    topic = ResultTopic(settings.topics.results, partial(open_producer, settings))
    relay_id = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    async with open_settlement_store(settings) as store:
        _log.info("relay delivers results", extra={"pid": os.getpid(), "relay_id": relay_id, "topic": topic.name})
        await run_relay(store, topic, relay_id, stop)
    _log.info("relay has stopped", extra={"pid": os.getpid()})
