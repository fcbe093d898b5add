"""Orders from Kafka are settled or rejected, every other record becomes a dead letter, and none is lost."""

import json
from collections import Counter
from typing import Any

import pytest
from temporalio.client import Client

from database.pools import Pool
from domain import limits
from messaging.announcing import plan_events
from messaging.dead_letter_reading import send_again
from messaging.decoding import PoisonClass
from runtime.kafka import create_topics, open_producer
from runtime.settings import Settings
from schemas.batches import Batch
from schemas.orders import OrderRecord
from schemas.wire.batches import BatchSource
from settling.systems import Systems
from tests.support.intakes import (
    announce_orders,
    commit,
    count_items,
    fetch_dead_letters,
    intake_settings,
    running_intake,
    send_batch,
    send_records,
    single_events,
    until_final,
    until_taken_in,
)
from tests.support.malformed_records import plan_records
from tests.support.raw_batches import BAD_HEADER, LZ4, batch_with_bad_header_names
from tests.support.settlements import NOW, load_orders, require_clean, running_worker, seed_orders


async def take_in(client: Client, systems: Systems, settings: Settings) -> list[Batch]:
    """Run intake and a worker until everything sent is taken in and settled."""
    async with running_worker(client, settings.task_queue, systems), running_intake(settings, systems.store):
        await until_taken_in(settings)
        return await until_final(systems)


async def test_single_orders_from_several_partitions_are_settled_and_acknowledged(
    client: Client, systems: Systems, kafka_settings: Settings, batch_id: str
) -> None:
    settings = intake_settings(kafka_settings, batch_id, intake_batch_size=400)
    await create_topics(settings)
    orders = await seed_orders(systems, 1_000)
    assert await announce_orders(settings, orders.records) == 1_000
    batches = await take_in(client, systems, settings)
    report = await require_clean(systems, 1_000)
    assert (report.settled, report.rejected) == (orders.settled, orders.rejected)
    assert {batch.source for batch in batches} == {BatchSource.KAFKA}
    assert len(batches) >= 3
    assert max(batch.item_count for batch in batches) <= 400
    far = orders.records[0].completed_at.replace(year=2100)
    assert (await systems.order_center.fetch_overdue_slice(far, None, 1)).orders == []
    assert await fetch_dead_letters(settings) == []


async def test_a_bulk_event_larger_than_a_batch_is_split_over_batches(
    client: Client, systems: Systems, kafka_settings: Settings, batch_id: str
) -> None:
    settings = intake_settings(kafka_settings, batch_id, intake_batch_size=100)
    await create_topics(settings)
    orders = await seed_orders(systems, 350)
    await send_records(settings, [(None, bulk_event(orders.records), ())])
    batches = await take_in(client, systems, settings)
    await require_clean(systems, 350)
    assert [batch.item_count for batch in reversed(batches)] == [100, 100, 100, 50]


async def test_every_kind_of_malformed_record_has_its_fate_and_stops_no_good_one(
    client: Client, systems: Systems, kafka_settings: Settings, batch_id: str
) -> None:
    settings = intake_settings(kafka_settings, batch_id)
    await create_topics(settings)
    records = [each for each in plan_records() if len(each.value or b"") < 1_000_000]
    await send_records(settings, [(each.key, each.value, each.headers) for each in records], partition=0)
    await take_in(client, systems, settings)
    letters = await fetch_dead_letters(settings)
    found = Counter((letter.original_offset, letter.error_class, letter.element_index) for letter in letters)
    planted = Counter((offset, *dead) for offset, each in enumerate(records) for dead in each.dead)
    assert found == planted
    assert {(each.original_topic, each.original_partition) for each in letters} == {(settings.topics.overdue, 0)}
    assert {each.consumer_group for each in letters} == {settings.topics.intake_group}
    assert all(each.message and each.original_timestamp_ms > 0 for each in letters)
    whole = {each.original_offset: each.value for each in letters if each.element_index is None}
    assert whole == {offset: each.value for offset, each in enumerate(records) if (None in [i for _, i in each.dead])}
    # No order has a record, so every order that was taken in is rejected.
    report = await require_clean(systems, sum(len(each.taken) for each in records))
    assert report.rejected.order_count == report.orders


async def test_header_names_that_are_not_utf_8_stop_nothing_wherever_intake_begins(
    client: Client, systems: Systems, kafka_settings: Settings, batch_id: str
) -> None:
    settings = intake_settings(kafka_settings, batch_id)
    await create_topics(settings)
    orders = await seed_orders(systems, 60, bad_rate=0)
    values = [event.model_dump_json().encode() for event in plan_events(orders.records, NOW)]
    await send_batch(settings, batch_with_bad_header_names(values[:30], {4, 5, 29}, LZ4))
    await send_batch(settings, batch_with_bad_header_names([*values[30:50], b"{"], {0, 20}))
    await send_records(settings, [(None, value, ()) for value in values[50:55]], partition=1)
    # Within a batch, between two records with bad header names.
    await commit(settings, 0, 5)
    async with running_intake(settings, systems.store):
        await until_taken_in(settings)
    assert await count_items(systems) == 50
    await send_batch(settings, batch_with_bad_header_names([*values[55:], *values[:5]], range(10), LZ4))
    await take_in(client, systems, settings)
    report = await require_clean(systems, 60)
    assert (report.settled.order_count, report.duplicates) == (60, 0)
    [letter] = await fetch_dead_letters(settings)
    assert (letter.original_partition, letter.original_offset, letter.error_class) == (0, 50, PoisonClass.NOT_JSON)
    assert (letter.value, letter.headers) == (b"{", [BAD_HEADER])


async def test_an_order_announced_again_is_judged_by_what_became_of_it(
    client: Client, systems: Systems, kafka_settings: Settings, batch_id: str
) -> None:
    settings = intake_settings(kafka_settings, batch_id)
    await create_topics(settings)
    good, bad = [each.record for each in (await seed_orders(systems, 2, bad_rate=0)).sample]
    await load_orders(systems, [bad._replace(status="disputed")])
    await announce_orders(settings, [good, bad])
    first = await take_in(client, systems, settings)
    assert {(batch.duplicate_count, batch.conflict_count) for batch in first} == {(0, 0)}

    await load_orders(systems, [bad])
    more = good._replace(paid_minor=good.paid_minor + 1)
    await announce_orders(settings, [good, bad, more])
    batches = await take_in(client, systems, settings)
    later = batches[: len(batches) - len(first)]

    audit = await require_clean(systems, 2)
    assert audit.settled.order_count == 2
    assert sum(batch.item_count for batch in later) == 1
    assert sum(batch.duplicate_count for batch in later) == sum(batch.conflict_count for batch in later) == 1
    [letter] = await fetch_dead_letters(settings)
    assert letter.error_class == PoisonClass.CONFLICT
    assert json.loads(letter.value or b"")["amount_minor"] == more.paid_minor - more.refunded_minor


async def test_an_order_of_an_unfinished_batch_announced_again_is_a_duplicate(
    client: Client, systems: Systems, kafka_settings: Settings, batch_id: str
) -> None:
    settings = intake_settings(kafka_settings, batch_id)
    await create_topics(settings)
    orders = await seed_orders(systems, 10, bad_rate=0)
    await announce_orders(settings, orders.records)
    async with running_intake(settings, systems.store):
        await until_taken_in(settings)
        await announce_orders(settings, orders.records)
        await until_taken_in(settings)
        assert sum(batch.duplicate_count for batch in await systems.store.batches.fetch_batches(10)) == 10
    await take_in(client, systems, settings)
    await require_clean(systems, 10)


async def test_a_lone_order_waits_no_longer_than_the_bound_for_its_batch_to_start(
    client: Client, systems: Systems, kafka_settings: Settings, batch_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Freezing starts early enough before the bound for a busy machine to start the batch in time."""
    settings = intake_settings(kafka_settings, batch_id, batch_wait_s_max=600)
    monkeypatch.setattr(limits, "BATCH_START_ALLOWANCE_S", 598)
    await create_topics(settings)
    orders = await seed_orders(systems, 1, bad_rate=0)
    async with running_worker(client, settings.task_queue, systems), running_intake(settings, systems.store):
        await announce_orders(settings, orders.records)
        await until_taken_in(settings)
        [batch] = await until_final(systems)
    assert batch.started_at
    assert (batch.started_at - batch.opened_at).total_seconds() <= settings.batch_wait_s_max


async def test_intake_over_the_high_water_mark_keeps_its_place_until_the_low_one(
    client: Client, systems: Systems, kafka_settings: Settings, batch_id: str
) -> None:
    settings = intake_settings(
        kafka_settings, batch_id, intake_batch_size=50, backlog_high_water=60, backlog_low_water=20
    )
    await create_topics(settings)
    orders = await seed_orders(systems, 600, bad_rate=0)
    await announce_orders(settings, orders.records)
    batches = await take_in(client, systems, settings)
    await require_clean(systems, 600)
    assert len(batches) >= 12


def bulk_event(records: list[OrderRecord]) -> bytes:
    events: list[Any] = [event.model_dump(mode="json") for event in plan_events(records, NOW)]
    return json.dumps(events).encode()


async def test_an_order_that_postgresql_refuses_is_dead_lettered_and_the_others_settled(
    client: Client, systems: Systems, kafka_settings: Settings, batch_id: str, pools: dict[str, Pool]
) -> None:
    settings = intake_settings(kafka_settings, batch_id)
    await create_topics(settings)
    orders = await seed_orders(systems, 300, bad_rate=0)
    refused = orders.records[150]
    store = pools["settlement_store"]
    await store.execute(f"ALTER TABLE items ADD CONSTRAINT a_rule CHECK (order_id <> '{refused.order_id}')")
    await send_records(settings, single_events(orders.records), partition=0)
    async with running_worker(client, settings.task_queue, systems), running_intake(settings, systems.store):
        await until_taken_in(settings)  # the offset must be past it
        await until_final(systems)
    await require_clean(systems, 299)
    [letter] = await fetch_dead_letters(settings)
    assert (letter.error_class, letter.original_offset) == (PoisonClass.STORE_REFUSED, 150)
    assert letter.message.startswith(f"Order {refused.order_id} was refused. The settlement store's database cannot")
    assert "a_rule" in letter.message
    # Once the rule is removed, it can be sent again.
    await store.execute("ALTER TABLE items DROP CONSTRAINT a_rule")
    async with open_producer(settings, idempotent=False) as producer:
        await send_again(producer, settings.topics.overdue, [letter])
    await take_in(client, systems, settings)
    report = await require_clean(systems, 300)
    assert report.settled == orders.settled
