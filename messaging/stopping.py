"""Stopping a Kafka client in a bounded time."""

import asyncio
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from domain import limits

_left: set[asyncio.Future[Any]] = set()  # the event loop alone would not keep them


async def stop_in_time(client: AIOKafkaConsumer | AIOKafkaProducer) -> None:
    """Stop a client; one that waits for a silent broker is left after `limits.KAFKA_STOP_TIMEOUT_S`. Raises nothing.

    What is left ends by itself: when its request times out, or, an idempotent producer with records in hand, when the
    broker is back. If its connections were closed instead, a producer's tasks would stay for as long as the process.
    """
    stopping = asyncio.gather(client.stop(), return_exceptions=True)
    _left.add(stopping)
    stopping.add_done_callback(_left.discard)
    await asyncio.wait({stopping}, timeout=limits.KAFKA_STOP_TIMEOUT_S)
