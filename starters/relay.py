"""`settle relay`: deliver results to Kafka until a signal stops it."""

import asyncio
import logging
import os
import secrets
import socket
from functools import partial

from messaging.relay import ResultTopic, run_relay
from runtime.adapters import open_settlement_store
from runtime.kafka import open_producer, require_topics
from runtime.settings import Settings
from starters.processes import run_process

_log = logging.getLogger(__name__)


def relay() -> None:
    """Deliver an event for every outcome to Kafka, until SIGINT or SIGTERM.

    Several relays share the work.
    Logs go to stderr, one JSON object a line; at a terminal as plain text.
    """
    run_process(_serve, {"Kafka": require_topics})


async def _serve(settings: Settings, stop: asyncio.Event) -> None:
    await require_topics(settings)  # fails at a wrong address; later the relay waits for unreachable brokers
    topic = ResultTopic(settings.topics.results, partial(open_producer, settings, idempotent=True))
    relay_id = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    async with open_settlement_store(settings) as store:
        _log.info("relay delivers results", extra={"pid": os.getpid(), "relay_id": relay_id, "topic": topic.name})
        await run_relay(store.outbox, topic, relay_id, stop)
    _log.info("relay has stopped", extra={"pid": os.getpid()})
