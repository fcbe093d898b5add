"""Helpers for tests of intake: sending records as other systems do, running intake, reading dead letters."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.protocol.produce import ProduceRequest

from domain import limits
from messaging.announcing import announce, plan_events
from messaging.dead_letter import DeadLetter
from messaging.dead_letter_reading import fetch_end
from runtime.kafka import connection_arguments, fetch_partitions, open_dead_letter_reader, open_producer
from runtime.settings import Settings
from schemas.batches import Batch
from schemas.orders import OrderRecord
from schemas.wire.batches import FINAL_STATES
from settlement_store.port import SettlementStore
from settling.systems import Systems
from tests.support.settlements import DEADLINE_S, NOW, eventually
from workers.intake import serve_intake

Record = tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes]]]


async def send_records(
    settings: Settings, records: Iterable[Record], partition: int | None = None, compression_type: str | None = None
) -> None:
    """Send records of any form to the topic of overdue orders. On return the broker has acknowledged all of them."""
    producer = AIOKafkaProducer(
        **connection_arguments(settings), acks="all", max_request_size=16_000_000, compression_type=compression_type
    )
    await producer.start()
    try:
        sent = [
            await producer.send(
                settings.topics.overdue, key=key, value=value, headers=list(headers), partition=partition
            )
            for key, value, headers in records
        ]
        await asyncio.gather(*sent)
    finally:
        await producer.stop()


async def send_batch(settings: Settings, batch: bytes) -> None:
    """Send a record batch unchanged to the first partition of the topic of overdue orders."""
    topic = settings.topics.overdue
    async with open_producer(settings, idempotent=False) as producer:
        await producer.partitions_for(topic)
        leader = producer.client.cluster.leader_for_partition(TopicPartition(topic, 0))

        async def is_stored() -> bool:
            """Return whether the broker stored the batch. It may refuse at first, because the topic is new."""
            answer = await producer.client.send(leader, ProduceRequest(None, -1, 10_000, [(topic, [(0, batch)])]))
            [(_, [(_, error_code, *_)])] = answer.topics
            return int(error_code) == 0

        await eventually(is_stored)


def single_events(records: list[OrderRecord]) -> list[Record]:
    """Return one record for each overdue order, with its event."""
    return [(each.order_id.encode(), each.model_dump_json().encode(), ()) for each in plan_events(records, NOW)]


async def announce_orders(settings: Settings, records: Iterable[OrderRecord]) -> int:
    """Announce overdue orders with one event each, and return the number of events."""
    async with open_producer(settings, idempotent=False) as producer:
        events = plan_events(records, NOW)
        await announce(producer, settings.topics.overdue, events)
    return len(events)


@asynccontextmanager
async def running_intake(settings: Settings, store: SettlementStore) -> AsyncIterator[None]:
    """Run intake in this process, and stop it gracefully at the end, within a deadline."""
    stop = asyncio.Event()
    serving = asyncio.create_task(serve_intake(settings, store, stop))
    try:
        yield
        assert not serving.done(), serving.exception()
    finally:
        stop.set()
        async with asyncio.timeout(DEADLINE_S):
            await serving


async def commit(settings: Settings, partition: int, offset: int) -> None:
    """Commit an offset of a partition for intake, which must not be running."""
    consumer = AIOKafkaConsumer(
        **connection_arguments(settings), group_id=settings.topics.intake_group, enable_auto_commit=False
    )
    await consumer.start()
    try:
        place = TopicPartition(settings.topics.overdue, partition)
        consumer.assign([place])
        await consumer.commit({place: offset})
    finally:
        await consumer.stop()


async def fetch_lag(settings: Settings) -> int:
    """Return how many records of the topic are not committed yet."""
    consumer = AIOKafkaConsumer(
        **connection_arguments(settings), group_id=settings.topics.intake_group, enable_auto_commit=False
    )
    await consumer.start()
    try:
        numbers = await fetch_partitions(settings, settings.topics.overdue)
        partitions = [TopicPartition(settings.topics.overdue, number) for number in numbers]
        consumer.assign(partitions)
        ends = {partition: await fetch_end(consumer, partition) for partition in partitions}
        committed = {partition: await consumer.committed(partition) or 0 for partition in partitions}
    finally:
        await consumer.stop()
    return sum(ends[each] - committed[each] for each in partitions)


async def until_taken_in(settings: Settings, deadline_s: float = DEADLINE_S) -> None:
    """Wait until every record on the topic is committed."""

    async def probe() -> bool:
        return await fetch_lag(settings) == 0

    await eventually(probe, deadline_s)


async def until_final(systems: Systems, deadline_s: float = DEADLINE_S) -> list[Batch]:
    """Wait until every batch is final and return all batches. On failure the error notes each batch's state."""
    batches: list[Batch] = []

    async def probe() -> list[Batch] | None:
        nonlocal batches
        batches = await systems.store.batches.fetch_batches(100)
        return batches if all(batch.state in FINAL_STATES for batch in batches) else None

    try:
        return await eventually(probe, deadline_s)
    except AssertionError as error:
        for batch in batches:
            error.add_note(f"{batch.batch_id} is {batch.state}: {batch.item_count} items")
        raise


async def count_items(systems: Systems) -> int:
    return sum(batch.item_count for batch in await systems.store.batches.fetch_batches(100))


async def until_items(systems: Systems, count: int, deadline_s: float = DEADLINE_S) -> None:
    """Wait until at least `count` items are stored."""

    async def probe() -> bool:
        return await count_items(systems) >= count

    await eventually(probe, deadline_s)


async def fetch_dead_letters(settings: Settings) -> list[DeadLetter]:
    """Return all dead letters on the topic."""
    letters: list[DeadLetter] = []
    async with open_dead_letter_reader(settings) as reader:
        for partition, span in (await reader.fetch_spans()).items():
            letters += await reader.read(partition, span.start, span.end)
    return letters


def intake_settings(settings: Settings, task_queue: str, **changed: object) -> Settings:
    """Return the settings of this test's own installation, with short waits."""
    short: dict[str, object] = {"batch_wait_s_max": limits.BATCH_WAIT_MIN_S, "chunk_size": 100, "window": 4}
    return settings.model_copy(update={"task_queue": task_queue, **short, **changed})


async def set_topic(settings: Settings, topic: str, name: str, value: int) -> None:
    """Set a topic's configuration and wait until the broker reports it."""
    admin = AIOKafkaAdminClient(**connection_arguments(settings))

    async def is_set() -> bool:
        [answer] = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {name: ""})])
        [(_, _, _, _, entries)] = answer.resources
        found: tuple[str, str] = entries[0][:2]
        return found == (name, str(value))

    await admin.start()
    try:
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {name: str(value)})])
        await eventually(is_set)
    finally:
        await admin.close()


async def is_logged(caplog: pytest.LogCaptureFixture, text: str, count: int) -> bool:
    """Return whether this process logged a text at least `count` times."""
    return sum(text in record.getMessage() for record in caplog.records) >= count


async def no_client_is_left() -> bool:
    """Return whether no task of a Kafka client is left in this event loop."""
    return not [task for task in asyncio.all_tasks() if "aiokafka" in repr(task)]
