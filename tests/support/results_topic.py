"""Reading of the results topic, and a relay in this process."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

from domain import limits
from messaging.relay import ResultTopic, run_relay
from runtime.kafka import open_producer
from runtime.settings import Settings
from schemas.wire.events import SettlementResult
from settlement_store.port.outbox import Outbox
from tests.support.settlements import DEADLINE_S, eventually

POLL_TIMEOUT_MS = 200


class Told(NamedTuple):
    """A record of the topic. Two records of the same outcome are equal."""

    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]

    @property
    def event(self) -> SettlementResult:
        return SettlementResult.model_validate_json(self.value)


@asynccontextmanager
async def reading(settings: Settings) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        settings.topics.results, bootstrap_servers=settings.kafka_bootstrap_servers, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


async def read_told(settings: Settings) -> list[Told]:
    """Return all records on the topic, in order within each partition."""
    topic = settings.topics.results
    told: list[Told] = []
    async with reading(settings) as consumer, asyncio.timeout(DEADLINE_S):
        ends = await consumer.end_offsets([TopicPartition(topic, n) for n in consumer.partitions_for_topic(topic)])
        while len(told) < sum(ends.values()):
            for records in (await consumer.getmany(timeout_ms=POLL_TIMEOUT_MS)).values():
                told += [Told(record.key, record.value, tuple(record.headers)) for record in records]
    return told


def kept_by_reader(told: Iterable[Told]) -> dict[str, SettlementResult]:
    """Return the event with the highest outcome number of each order, as a reader should keep it."""
    kept: dict[str, SettlementResult] = {}
    for event in (each.event for each in told):
        if event.order_id not in kept or event.outcome_no > kept[event.order_id].outcome_no:
            kept[event.order_id] = event
    return kept


def outcomes_of(told: Iterable[Told]) -> Counter[tuple[str, int, str, str | None]]:
    """Count how often each outcome was published."""
    events = [each.event for each in told]
    return Counter((event.order_id, event.outcome_no, event.outcome.value, event.reason_code) for event in events)


async def is_delivered(outbox: Outbox) -> bool:
    return await outbox.fetch_outbox_row(range(limits.RESULT_BUCKET_COUNT)) is None


def topic_of(settings: Settings, open_: Callable[..., AbstractAsyncContextManager[Any]]) -> ResultTopic:
    return ResultTopic(settings.topics.results, partial(open_, settings, idempotent=True))


@asynccontextmanager
async def relaying(outbox: Outbox, settings: Settings, relay_id: str) -> AsyncIterator[asyncio.Task[None]]:
    """Run a relay in this process and ask it to stop at the end."""
    stop = asyncio.Event()
    relay = asyncio.create_task(run_relay(outbox, topic_of(settings, open_producer), relay_id, stop))
    try:
        yield relay
    finally:
        stop.set()
        await asyncio.wait([relay], timeout=DEADLINE_S)


async def deliver(outbox: Outbox, settings: Settings, relay_id: str = "R1") -> None:
    """Run a relay until the outbox is delivered."""
    async with relaying(outbox, settings, relay_id):
        await eventually(lambda: is_delivered(outbox))
