"""Intake stays a member of its group when it is paused, loses and regains it, and can be replaced by another."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer
from temporalio.client import Client

import workers.intake
from domain import limits
from messaging.record_source import RecordSource
from runtime.kafka import build_intake_consumer, create_topics
from runtime.settings import Settings
from settling.systems import Systems
from tests.support.intakes import (
    announce_orders,
    count_items,
    fetch_dead_letters,
    fetch_lag,
    intake_settings,
    running_intake,
    send_records,
    until_final,
    until_items,
    until_taken_in,
)
from tests.support.settle_processes import SettleProcesses
from tests.support.settlements import CALENDAR, Gate, eventually, held, require_clean, running_worker, seed_orders

MAX_POLL_INTERVAL_S = 2
SESSION_TIMEOUT_S = 6  # the least that Apache Kafka accepts


@pytest.fixture
def consumers(monkeypatch: pytest.MonkeyPatch) -> list[AIOKafkaConsumer]:
    """The consumers of the intakes in this process. They may be idle only briefly."""
    built: list[AIOKafkaConsumer] = []

    def build(settings: Settings) -> AIOKafkaConsumer:
        consumer = build_intake_consumer(settings)
        consumer._max_poll_interval_ms = MAX_POLL_INTERVAL_S * 1000
        built.append(consumer)
        return consumer

    monkeypatch.setattr(workers.intake, "build_intake_consumer", build)
    return built


def membership_of(consumer: AIOKafkaConsumer) -> tuple[str, int]:
    return consumer._coordinator.member_id, consumer._coordinator.generation


async def until_paused(consumers: list[AIOKafkaConsumer]) -> None:
    async def probe() -> bool:
        return bool(consumers and consumers[0].paused())

    await eventually(probe)


@asynccontextmanager
async def other_member(settings: Settings) -> AsyncIterator[RecordSource]:
    """Join the intake's group with another member that stores nothing."""
    consumer = build_intake_consumer(settings.model_copy(update={"intake_instance_id": "other"}))
    consumer._session_timeout_ms = SESSION_TIMEOUT_S * 1000
    source = RecordSource(consumer, settings.topics.overdue)
    await source.start()
    try:
        yield source
    finally:
        await source.stop()


async def test_a_paused_member_keeps_its_place_and_gives_out_nothing_after_a_rebalance(
    client: Client, systems: Systems, kafka_settings: Settings, batch_id: str, consumers: list[AIOKafkaConsumer]
) -> None:
    settings = intake_settings(
        kafka_settings, batch_id, intake_batch_size=50, backlog_high_water=60, backlog_low_water=20
    )
    await create_topics(settings)
    orders = await seed_orders(systems, 400, bad_rate=0)
    gate = Gate()
    slow = replace(systems, order_center=held(systems.order_center, "fetch_records", gate))
    async with running_worker(client, batch_id, slow), running_intake(settings, systems.store):
        await announce_orders(settings, orders.records[:100])
        await until_paused(consumers)
        [consumer] = consumers
        before = membership_of(consumer)
        await asyncio.sleep(MAX_POLL_INTERVAL_S + 1)
        assert membership_of(consumer) == before

        taken_count = await count_items(systems)
        async with other_member(settings) as other:
            await announce_orders(settings, orders.records[100:])
            polled = await eventually(partial(other.poll, 1))
            own, others = consumer.assignment(), other._consumer.assignment()
            assert len(own) == len(others) == limits.TOPIC_PARTITION_COUNT // 2
            assert {record.partition for record in polled.records} <= {each.partition for each in others}
            assert consumer.paused() == own
            assert await fetch_lag(settings) > 0
        assert await count_items(systems) == taken_count

        await gate.open()
        await until_taken_in(settings)
        await until_final(systems)
        assert consumers == [consumer]
    await require_clean(systems, 400)


async def test_a_stuck_batch_does_not_stop_intake(
    client: Client, systems: Systems, kafka_settings: Settings, batch_id: str, consumers: list[AIOKafkaConsumer]
) -> None:
    settings = intake_settings(
        kafka_settings, batch_id, intake_batch_size=50, backlog_high_water=40, backlog_low_water=20, batch_stuck_s=3
    )
    await create_topics(settings)
    orders = await seed_orders(systems, 100, bad_rate=0)
    gate = Gate()
    slow = replace(systems, order_center=held(systems.order_center, "fetch_records", gate))
    async with running_worker(client, batch_id, slow), running_intake(settings, systems.store):
        await announce_orders(settings, orders.records[:50])
        await until_paused(consumers)
        await announce_orders(settings, orders.records[50:])
        await until_items(systems, 100)
        await gate.open()
        await until_final(systems)
    await require_clean(systems, 100)


async def test_at_the_bound_on_unclosed_batches_intake_waits_until_one_is_closed(
    client: Client,
    systems: Systems,
    kafka_settings: Settings,
    batch_id: str,
    consumers: list[AIOKafkaConsumer],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "UNCLOSED_BATCH_COUNT_MAX", 2)
    settings = intake_settings(kafka_settings, batch_id, intake_batch_size=10)
    await create_topics(settings)
    orders = await seed_orders(systems, 50, bad_rate=0)
    await announce_orders(settings, orders.records)
    async with running_intake(settings, systems.store):
        await until_paused(consumers)
        before = membership_of(consumers[0])
        await asyncio.sleep(MAX_POLL_INTERVAL_S + 1)
        batches = await systems.store.batches.fetch_batches(100)
        assert [batch.item_count for batch in batches] == [10, 10]
        said = [vars(each)["error"] for each in caplog.records if each.msg == "intake waits and retries"]
        assert said
        assert all(batch.batch_id in text for batch in batches for text in said)
        async with running_worker(client, batch_id, systems):
            await until_taken_in(settings)
            await until_final(systems)
        assert membership_of(consumers[0]) == before
    await require_clean(systems, 50)


@pytest.mark.parametrize("lost", ["generation", "member_id"])
async def test_a_commit_of_an_earlier_membership_is_refused_and_its_records_come_again(
    kafka_settings: Settings, lost: str
) -> None:
    await create_topics(kafka_settings)
    await send_records(kafka_settings, [(b"1", b"{}", ())] * 3, partition=0)
    source = RecordSource(build_intake_consumer(kafka_settings), kafka_settings.topics.overdue)
    await source.start()
    try:
        polled = await eventually(partial(source.poll, 1))
        source.mark_durable(polled)
        setattr(source._consumer._coordinator, lost, 77 if lost == "generation" else "another")
        await source.commit()
        assert await fetch_lag(kafka_settings) == 3
        again = await eventually(partial(source.poll, 1))
        assert [each.offset for each in again.records] == [each.offset for each in polled.records]
        source.mark_durable(again)
        await source.commit()
        assert await fetch_lag(kafka_settings) == 0
    finally:
        await source.stop()


async def is_assigned_again(processes: SettleProcesses) -> bool:
    return processes.log_of("a").count('"partitions assigned"') > 1


async def test_a_consumer_stopped_past_its_session_opens_another_batch(
    systems: Systems, kafka_settings: Settings, environment: dict[str, str], tmp_path: Path
) -> None:
    await create_topics(kafka_settings)
    orders = await seed_orders(systems, 6_000)
    with SettleProcesses(tmp_path, environment | {"SETTLE_BATCH_WAIT_S_MAX": "60"}) as processes:
        processes.start("worker", "worker")
        await announce_orders(kafka_settings, orders.records[:3_000])
        # It has records that are stored but not committed, and its batch is open.
        processes.start_failing_intake("a", "after_database_commit", 2, signal.SIGSTOP)
        await processes.until_stopped("a")
        [left] = await systems.store.batches.fetch_batches(10)
        processes.start_slow_intake("b")
        await until_taken_in(kafka_settings)
        await systems.store.filling.freeze_batch(left.batch_id, CALENDAR)

        processes.send("a", signal.SIGCONT)
        await eventually(lambda: is_assigned_again(processes))
        await announce_orders(kafka_settings, orders.records[3_000:])
        await until_taken_in(kafka_settings)
        for name in ("a", "b"):
            await processes.stop(name)
        # The sweep starts the batch of the intake that was stopped.
        await until_final(systems)
    report = await require_clean(systems, 6_000)
    assert (report.settled, report.rejected) == (orders.settled, orders.rejected)
    assert report.duplicates > 0
    batches = await systems.store.batches.fetch_batches(10)
    assert {batch.batch_id: batch.item_count for batch in batches}[left.batch_id] == left.item_count
    instance = left.batch_id.rpartition("-")[2]
    assert len([batch for batch in batches if batch.batch_id.endswith(instance)]) > 1
    assert await fetch_dead_letters(kafka_settings) == []


async def test_two_processes_with_one_instance_id_lose_nothing_and_say_so(
    systems: Systems, kafka_settings: Settings, environment: dict[str, str], tmp_path: Path
) -> None:
    await create_topics(kafka_settings)
    orders = await seed_orders(systems, 20_000)
    await announce_orders(kafka_settings, orders.records)
    with SettleProcesses(tmp_path, environment) as processes:
        processes.start("worker", "worker")
        for name in ("a", "b"):
            processes.start_slow_intake(name, instance="same")
        await until_taken_in(kafka_settings)
        for name in ("a", "b"):
            await processes.stop(name)
        await until_final(systems)
        assert any("another process has the same instance id" in processes.log_of(name) for name in ("a", "b"))
    report = await require_clean(systems, 20_000)
    assert (report.settled, report.rejected) == (orders.settled, orders.rejected)
