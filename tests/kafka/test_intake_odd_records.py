"""Intake handles records that few producers can send: one of 5 MB, and one with neither key nor value."""

from aiokafka import AIOKafkaProducer
from temporalio.client import Client

from domain import limits
from messaging.decoding import PoisonClass
from runtime.kafka import connection_arguments, create_topics
from runtime.settings import Settings
from settling.systems import Systems
from tests.support.intakes import (
    fetch_dead_letters,
    intake_settings,
    running_intake,
    send_records,
    set_topic,
    single_events,
    until_final,
    until_taken_in,
)
from tests.support.settlements import require_clean, running_worker, seed_orders

LARGE = b'"' + bytes(range(32, 127)).replace(b'"', b"").replace(b"\\", b"") * 55_000 + b'"'


async def send_empty_record(settings: Settings) -> None:
    """Send a record without key and value as a batch, because the client refuses it otherwise."""
    producer = AIOKafkaProducer(**connection_arguments(settings), acks="all")
    await producer.start()
    try:
        batch = producer.create_batch()
        batch.append(key=None, value=None, timestamp=None)
        await (await producer.send_batch(batch, settings.topics.overdue, partition=0))
    finally:
        await producer.stop()


async def test_a_record_of_5_mb_and_an_empty_one_are_dead_lettered_and_the_others_go_on(
    client: Client, systems: Systems, kafka_settings: Settings, batch_id: str
) -> None:
    settings = intake_settings(kafka_settings, batch_id)
    await create_topics(settings)
    await set_topic(settings, settings.topics.overdue, "max.message.bytes", 2 * len(LARGE))
    assert len(LARGE) > 5_000_000
    orders = await seed_orders(systems, 30, bad_rate=0)
    events = single_events(orders.records)
    await send_records(settings, [*events[:10], (b"large", LARGE, ()), *events[10:20]], partition=0)
    await send_empty_record(settings)
    await send_records(settings, events[20:], partition=0)
    async with running_worker(client, batch_id, systems), running_intake(settings, systems.store):
        await until_taken_in(settings)
        await until_final(systems)
    await require_clean(systems, 30)
    large, empty = sorted(await fetch_dead_letters(settings), key=lambda letter: letter.original_offset)
    assert (large.original_partition, large.original_offset, large.error_class) == (0, 10, PoisonClass.TOO_LARGE)
    assert (large.key, large.value, large.value_bytes) == (b"large", LARGE[: limits.DEAD_LETTER_BYTES_MAX], len(LARGE))
    assert large.is_cut
    assert (empty.original_partition, empty.original_offset, empty.error_class) == (0, 21, PoisonClass.NO_VALUE)
    assert (empty.value, empty.value_bytes) == (None, 0)
    assert not empty.is_cut
