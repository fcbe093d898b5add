"""Intake is killed at every point where a crash could lose or double something, and at random, and loses nothing."""

import asyncio
import random
import signal
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from messaging.announcing import plan_events
from runtime.kafka import connection_arguments, create_topics
from runtime.settings import Settings
from settling.systems import Systems
from starters.sample_orders import SampleOrder
from tests.kafka.failing_intake import POINTS
from tests.support.intakes import fetch_dead_letters, until_final, until_taken_in
from tests.support.settle_processes import SettleProcesses
from tests.support.settlements import NOW, eventually, require_clean, seed_orders

SEED = 20261125
ORDER_COUNT = 50_000
DUPLICATE_COUNT = 2_500
MALFORMED_COUNT = 500
INSTANCES = ("a", "b", "c")
KILL_COUNT = 6
LEAVE_COUNT = 3
DEADLINE_S = 600
MALFORMED = (b"", b"{", b"[]", b'{"schema_version": 1}', b"\xff\xfe", b"null", b'{"amount_minor": NaN}')

SIZES = {"SETTLE_INTAKE_BATCH_SIZE": "3000", "SETTLE_BATCH_WAIT_S_MAX": "3", "SETTLE_CHUNK_SIZE": "1000"}

Place = tuple[str, int, int]


async def send_shuffled(settings: Settings, sample: list[SampleOrder], dice: random.Random) -> set[Place]:
    """Send all orders, some of them twice, among malformed records. Return the places of the malformed ones."""
    events = plan_events([order.record for order in sample], NOW)
    values = [(event.order_id.encode(), event.model_dump_json().encode()) for event in events]
    values += dice.sample(values, DUPLICATE_COUNT)
    values += [(b"malformed", dice.choice(MALFORMED)) for _ in range(MALFORMED_COUNT)]
    dice.shuffle(values)
    producer = AIOKafkaProducer(**connection_arguments(settings), acks="all", linger_ms=5)
    await producer.start()
    try:
        sent = [await producer.send(settings.topics.overdue, value, key=key) for key, value in values]
        placed = await asyncio.gather(*sent)
    finally:
        await producer.stop()
    return {
        (at.topic, at.partition, at.offset) for at, (key, _) in zip(placed, values, strict=True) if key == b"malformed"
    }


async def kill_at_every_point(processes: SettleProcesses, dice: random.Random) -> None:
    """Start three members that kill themselves, and replace each, until every point was reached."""
    points = dice.sample(sorted(POINTS), len(POINTS))
    running: dict[str, str] = {}

    def start(instance: str) -> None:
        if points:
            running[instance] = points.pop()
            processes.start_failing_intake(instance, running[instance], dice.randint(1, 3))

    for instance in INSTANCES:
        start(instance)
    while running:
        await eventually(lambda: any_ended(processes, list(running)))
        for instance in [each for each in running if processes.has_ended(each)]:
            assert processes.exit_code(instance) == -signal.SIGKILL, processes.log_of(instance)
            del running[instance]
            start(instance)


async def any_ended(processes: SettleProcesses, names: list[str]) -> bool:
    return any(processes.has_ended(name) for name in names)


async def kill_and_leave_at_random(processes: SettleProcesses, settings: Settings, dice: random.Random) -> None:
    """Kill members with SIGKILL, or stop them gracefully, after seeded waits. Each is restarted immediately."""
    ends = [signal.SIGKILL] * KILL_COUNT + [signal.SIGTERM] * LEAVE_COUNT
    dice.shuffle(ends)
    for end in ends:
        await asyncio.sleep(dice.uniform(0.2, 1))
        instance = dice.choice(INSTANCES)
        processes.send(instance, end)
        exit_code = await asyncio.to_thread(processes.exit_code, instance)
        # Either signal ends a process that is still starting.
        assert exit_code in ({-end, 0} if end == signal.SIGTERM else {-end}), processes.log_of(instance)
        processes.start_slow_intake(instance)


@pytest.mark.timeout(DEADLINE_S * 2)
async def test_kills_lose_no_order_and_no_bad_record_and_settle_nothing_twice(
    systems: Systems, kafka_settings: Settings, environment: dict[str, str], tmp_path: Path
) -> None:
    dice = random.Random(SEED)
    await create_topics(kafka_settings)
    orders = await seed_orders(systems, ORDER_COUNT, seed=SEED)
    with SettleProcesses(tmp_path, environment | SIZES) as processes:
        processes.start("worker", "worker")
        sending = asyncio.create_task(send_shuffled(kafka_settings, list(orders.sample), dice))
        await kill_at_every_point(processes, random.Random(SEED + 1))
        malformed = await sending
        for instance in INSTANCES:
            processes.start_slow_intake(instance)
        await kill_and_leave_at_random(processes, kafka_settings, random.Random(SEED + 2))
        await until_taken_in(kafka_settings, DEADLINE_S)
        await until_final(systems, DEADLINE_S)
    report = await require_clean(systems, ORDER_COUNT)
    assert (report.settled, report.rejected) == (orders.settled, orders.rejected)
    assert report.duplicates >= DUPLICATE_COUNT
    assert report.conflicts == 0
    letters = await fetch_dead_letters(kafka_settings)
    assert {(each.original_topic, each.original_partition, each.original_offset) for each in letters} == malformed
    assert len(malformed) == MALFORMED_COUNT
