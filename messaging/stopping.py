"""Stop a Kafka client in a bounded time."""

import asyncio
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from domain import limits

_left: set[asyncio.Future[Any]] = set()  # the event loop has no strong references to them


async def stop_in_time(client: AIOKafkaConsumer | AIOKafkaProducer) -> None:
    """Stop a client, but wait at most `limits.KAFKA_STOP_TIMEOUT_S` for a silent broker. Raises nothing.

    After the timeout the client still ends: when its request times out, or when the broker is reachable again if it is
    an idempotent producer with records in hand. If its connections were closed instead, a producer's tasks would live
    as long as the process.
    """
    stopping = asyncio.gather(client.stop(), return_exceptions=True)
    _left.add(stopping)
    stopping.add_done_callback(_left.discard)
    await asyncio.wait({stopping}, timeout=limits.KAFKA_STOP_TIMEOUT_S)
