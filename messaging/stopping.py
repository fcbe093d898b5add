"""Stop a Kafka client in a bounded time."""

import asyncio
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from domain import limits

_left: set[asyncio.Future[Any]] = set()  # the event loop has no strong references to them


async def stop_in_time(client: AIOKafkaConsumer | AIOKafkaProducer) -> None:
    """Stop a client, but wait at most `limits.KAFKA_STOP_TIMEOUT_S` for a silent broker. Raises nothing.

    After the timeout the client continues to stop in the background, until its request times out. An idempotent
    producer with unsent records continues until the broker is reachable again. Connections are not closed by force: the
    tasks of a producer would then live as long as the process.
    """
    stopping = asyncio.gather(client.stop(), return_exceptions=True)
    _left.add(stopping)
    stopping.add_done_callback(_left.discard)
    await asyncio.wait({stopping}, timeout=limits.KAFKA_STOP_TIMEOUT_S)
