"""If a server goes down in the middle of a burst, intake waits for it, neither exits nor spins, and loses nothing."""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    RequestTimedOutError,
    TopicAuthorizationFailedError,
)
from temporalio.client import Client

from domain import limits
from local_stack import LocalStack
from messaging.record_source import RecordSource
from runtime.adapters import migrate_databases, open_systems
from runtime.kafka import build_intake_consumer, create_topics
from runtime.settings import Settings
from runtime.stack_state import fetch_stack_state
from settling.systems import Systems
from tests.apache_kafka.broker import ApacheKafka
from tests.conftest import register_search_attributes
from tests.support.intakes import (
    announce_orders,
    count_items,
    fetch_dead_letters,
    fetch_lag,
    intake_settings,
    is_logged,
    no_client_is_left,
    running_intake,
    send_records,
    set_topic,
    single_events,
    until_final,
    until_items,
    until_taken_in,
)
from tests.support.settle_processes import SettleProcesses
from tests.support.settlements import eventually, require_clean, running_worker, seed_orders

ORDER_COUNT = 20_000
BROKER_OUTAGE_S = 10
POSTGRESQL_OUTAGE_S = 30
# While a server is down. Each line is one attempt.
LOG_LINES_A_SECOND_MAX = 2
CPU_SHARE_MAX = 0.2
# For a busy machine. A consumer that waits for its broker's answer after all waits for 40 s, aiokafka's default.
GRACE_S = 20


class Effort(NamedTuple):
    """The work that a process did up to some time."""

    cpu_s: float
    log_line_count: int


def effort_of(processes: SettleProcesses, name: str) -> Effort:
    return Effort(processes.cpu_s(name), processes.log_of(name).count("\n"))


def require_rest(before: Effort, after: Effort, seconds: float) -> None:
    """Require that a process did little in a period."""
    assert (after.cpu_s - before.cpu_s) / seconds < CPU_SHARE_MAX
    assert (after.log_line_count - before.log_line_count) / seconds < LOG_LINES_A_SECOND_MAX


async def test_a_broker_killed_in_mid_burst_loses_nothing_and_intake_goes_on(
    client: Client,
    systems: Systems,
    own_apache_kafka: ApacheKafka,
    own_kafka_settings: Settings,
    environment: dict[str, str],
    batch_id: str,
    tmp_path: Path,
) -> None:
    settings = own_kafka_settings
    environment["KAFKA_BOOTSTRAP_SERVERS"] = settings.kafka_bootstrap_servers
    environment["SETTLE_TOPIC_PREFIX"] = settings.topic_prefix
    await create_topics(settings)
    orders = await seed_orders(systems, ORDER_COUNT)
    with SettleProcesses(tmp_path, environment) as processes:
        async with running_worker(client, batch_id, systems):
            processes.start_slow_intake("a")
            await announce_orders(settings, orders.records[: ORDER_COUNT // 2])
            await until_items(systems, 1)
            await asyncio.to_thread(own_apache_kafka.kill)
            assert await count_items(systems) < ORDER_COUNT // 2, "the burst was over before the broker went away"
            before = effort_of(processes, "a")
            await asyncio.sleep(BROKER_OUTAGE_S)
            require_rest(before, effort_of(processes, "a"), BROKER_OUTAGE_S)
            await asyncio.to_thread(own_apache_kafka.start)
            await announce_orders(settings, orders.records[ORDER_COUNT // 2 :])
            await until_taken_in(settings)
            await until_final(systems)
        await processes.stop("a")
    report = await require_clean(systems, ORDER_COUNT)
    assert (report.settled, report.rejected) == (orders.settled, orders.rejected)
    assert await fetch_dead_letters(settings) == []
    assert await fetch_lag(settings) == 0


@asynccontextmanager
async def own_systems(directory: Path) -> AsyncIterator[tuple[LocalStack, Settings, Systems]]:
    """The test's own embedded stack, and the three systems on it."""
    stack = LocalStack(directory)
    try:
        state = await asyncio.to_thread(stack.up)
        url = state.database_url
        settings = Settings(database_url=url, order_center_url=url, fund_platform_url=url)
        await migrate_databases(settings)
        await register_search_attributes(state.temporal_address)
        async with open_systems(settings) as ports:
            yield stack, settings, ports
    finally:
        await asyncio.to_thread(stack.down)


def kill_postgresql(directory: Path) -> None:
    os.killpg(json.loads((directory / "run" / "postgresql.json").read_text())["pid"], signal.SIGKILL)


async def test_postgresql_away_in_mid_burst_is_waited_for_by_the_same_member(
    kafka_settings: Settings, batch_id: str, tmp_path: Path
) -> None:
    await create_topics(kafka_settings)
    async with own_systems(tmp_path / "stack") as (stack, settings, systems):
        state = fetch_stack_state(tmp_path / "stack")
        assert state
        environment = {
            "SETTLE_DATABASE_URL": settings.database_url,
            "SETTLE_STACK_DIR": "none",
            "SETTLE_TASK_QUEUE": batch_id,
            "SETTLE_TOPIC_PREFIX": kafka_settings.topic_prefix,
            "TEMPORAL_ADDRESS": state.temporal_address,
            "KAFKA_BOOTSTRAP_SERVERS": kafka_settings.kafka_bootstrap_servers,
        }
        orders = await seed_orders(systems, ORDER_COUNT)
        await announce_orders(kafka_settings, orders.records)
        with SettleProcesses(tmp_path, environment) as processes:
            processes.start("worker", "worker")
            await processes.until_serving("worker")
            processes.start_slow_intake("a")
            await until_items(systems, 1)
            kill_postgresql(tmp_path / "stack")
            before = effort_of(processes, "a")
            await asyncio.sleep(POSTGRESQL_OUTAGE_S)
            require_rest(before, effort_of(processes, "a"), POSTGRESQL_OUTAGE_S)
            await asyncio.to_thread(stack.up)
            count = await count_items(systems)
            assert count < ORDER_COUNT, "the burst was over before PostgreSQL went away"
            await until_items(systems, count + 1, limits.RESUME_AFTER_OUTAGE_S)
            await until_taken_in(kafka_settings)
            await until_final(systems)
            await processes.stop("a")
            assert processes.log_of("a").count('"partitions assigned"') == 1
        report = await require_clean(systems, ORDER_COUNT)
        assert (report.settled, report.rejected) == (orders.settled, orders.rejected)
        assert await fetch_dead_letters(kafka_settings) == []


async def test_nothing_is_committed_while_the_dead_letter_topic_refuses(
    client: Client, systems: Systems, kafka_settings: Settings, batch_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings = intake_settings(kafka_settings, batch_id)
    await create_topics(settings)
    topics = settings.topics
    await set_topic(settings, topics.dead_letters, "max.message.bytes", 100)
    orders = await seed_orders(systems, 100)
    first, second = orders.records[:50], orders.records[50:]
    await send_records(settings, [*single_events(first), (None, b"bad", ()), *single_events(second)], partition=0)
    async with running_worker(client, batch_id, systems), running_intake(settings, systems.store):
        await until_items(systems, 100)
        # Later records wait as well, because they are on the same partitions.
        refused_s = time.monotonic()
        await eventually(lambda: is_logged(caplog, "intake waits and retries", 4))
        assert time.monotonic() - refused_s > limits.INTAKE_RETRY_INITIAL_S * (1 + 2 + 4)
        assert await fetch_lag(settings) == 101
        assert await fetch_dead_letters(settings) == []
        await set_topic(settings, topics.dead_letters, "max.message.bytes", limits.KAFKA_REQUEST_BYTES_MAX)
        await until_taken_in(settings, limits.INTAKE_RETRY_MAX_S * 3)
        await until_final(systems)
    await require_clean(systems, 100)
    [letter] = await fetch_dead_letters(settings)
    assert (letter.value, letter.original_partition, letter.original_offset) == (b"bad", 0, 50)


@pytest.mark.parametrize("error_class", [RequestTimedOutError, TopicAuthorizationFailedError])
async def test_intake_goes_on_while_commits_fail_and_commits_later(
    client: Client,
    systems: Systems,
    kafka_settings: Settings,
    batch_id: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    error_class: type[KafkaError],
) -> None:
    monkeypatch.setattr(limits, "KAFKA_COMMIT_TIMEOUT_S", 1)
    commit = GroupCoordinator._do_commit_offsets
    is_failing = True

    async def commit_or_fail(coordinator: GroupCoordinator, *arguments: object) -> None:
        if is_failing:
            raise error_class
        await commit(coordinator, *arguments)

    monkeypatch.setattr(GroupCoordinator, "_do_commit_offsets", commit_or_fail)
    settings = intake_settings(kafka_settings, batch_id)
    await create_topics(settings)
    orders = await seed_orders(systems, 200)
    async with running_worker(client, batch_id, systems), running_intake(settings, systems.store):
        await announce_orders(settings, orders.records[:100])
        await until_items(systems, 100)
        await eventually(lambda: is_logged(caplog, "offsets were not committed; the next commit retries", 2))
        await announce_orders(settings, orders.records[100:])
        await until_items(systems, 200)
        assert await fetch_lag(settings) == 200
        is_failing = False
        await until_taken_in(settings)
        await until_final(systems)
    report = await require_clean(systems, 200)
    assert report.duplicates == 0


async def test_a_commit_that_is_not_answered_is_given_up_and_made_later(
    own_apache_kafka: ApacheKafka, own_kafka_settings: Settings
) -> None:
    settings = own_kafka_settings
    await create_topics(settings)
    await send_records(settings, [(b"1", b"{}", ())])
    source = RecordSource(build_intake_consumer(settings), settings.topics.overdue)
    await source.start()
    try:
        polled = await eventually(partial(source.poll, 1))
        source.mark_durable(polled)
        own_apache_kafka.pause()
        async with asyncio.timeout(limits.KAFKA_COMMIT_TIMEOUT_S + GRACE_S):
            await source.commit()
        # Data on its connections that the broker has not read is lost with it.
        await asyncio.to_thread(own_apache_kafka.kill)
        await asyncio.to_thread(own_apache_kafka.start)
        assert await fetch_lag(settings) == 1

        async def is_committed() -> bool:
            await source.commit()
            return await fetch_lag(settings) == 0

        await eventually(is_committed)
    finally:
        await source.stop()


async def test_a_source_starts_and_stops_in_time_whatever_the_broker_does(
    own_apache_kafka: ApacheKafka, own_kafka_settings: Settings
) -> None:
    settings = own_kafka_settings
    await create_topics(settings)
    joining = RecordSource(build_intake_consumer(settings), settings.topics.overdue)
    late = RecordSource(build_intake_consumer(settings), settings.topics.overdue)
    await joining.start()
    assert not await joining.poll(limits.KAFKA_CONNECT_TIMEOUT_S)
    own_apache_kafka.pause()
    joining._consumer._coordinator.request_rejoin()
    assert not await joining.poll(limits.KAFKA_CONNECT_TIMEOUT_S)
    async with asyncio.timeout(limits.KAFKA_STOP_TIMEOUT_S + GRACE_S):
        await joining.stop()
    async with asyncio.timeout(limits.KAFKA_CONNECT_TIMEOUT_S + GRACE_S):
        with pytest.raises(KafkaConnectionError):
            await late.start()
        await late.stop()
    own_apache_kafka.resume()
    await eventually(no_client_is_left)
