"""Intake's memory does not grow with the size of its topic."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.kafka import create_topics
from runtime.settings import Settings
from tests.support.intakes import Record, send_records, until_taken_in
from tests.support.malformed_records import event
from tests.support.settle_processes import SettleProcesses

BULK_ORDER_COUNT = 1_000
SINGLE_SHARE = 10  # one in this many orders is announced alone
FEW, MANY = 30_000, 300_000
GROWTH_MAX = 1.25
DEADLINE_S = 600


def plan_burst(order_count: int) -> Iterator[Record]:
    """Return orders in bulk events, some of them announced alone between."""
    for start in range(0, order_count, BULK_ORDER_COUNT):
        alone = range(start, start + BULK_ORDER_COUNT // SINGLE_SHARE)
        together = range(alone.stop, start + BULK_ORDER_COUNT)
        yield None, json.dumps([event(number) for number in together]).encode(), ()
        for number in alone:
            yield f"M-{number}".encode(), json.dumps(event(number)).encode(), ()


async def measure_memory_bytes(
    settings: Settings, environment: dict[str, str], directory: Path, order_count: int
) -> int:
    """Measure the peak memory of `settle intake` for a burst that was sent before it started."""
    await create_topics(settings)
    await send_records(settings, plan_burst(order_count), compression_type="lz4")
    name = f"intake of {order_count}"
    with SettleProcesses(directory, environment | {"SETTLE_TOPIC_PREFIX": settings.topic_prefix}) as processes:
        processes.start(name, "intake")
        await until_taken_in(settings, DEADLINE_S)
        found = processes.memory_bytes_max(name)
        await processes.stop(name)
    return found


@pytest.mark.timeout(DEADLINE_S * 2)
async def test_ten_times_the_orders_on_the_topic_take_no_more_memory(
    kafka_settings: Settings, environment: dict[str, str], tmp_path: Path
) -> None:
    few, many = [
        await measure_memory_bytes(
            kafka_settings.model_copy(update={"topic_prefix": f"{kafka_settings.topic_prefix}{count}."}),
            environment,
            tmp_path,
            count,
        )
        for count in (FEW, MANY)
    ]
    assert many < few * GROWTH_MAX
