"""Intake settles the burst of that morning, many times as large, from single-order messages on Apache Kafka."""

from pathlib import Path

import pytest

from domain import limits
from runtime.kafka import create_topics
from runtime.settings import Settings
from settling.systems import Systems
from tests.support.intakes import announce_orders, fetch_dead_letters, fetch_lag, until_final, until_taken_in
from tests.support.settle_processes import SettleProcesses
from tests.support.settlements import require_clean, seed_orders

ORDER_COUNT = 100_000
SEND_SLICE = 5_000
DEADLINE_S = 600


@pytest.mark.timeout(DEADLINE_S * 2)
async def test_every_order_of_a_burst_is_settled_or_rejected_for_its_reason(
    systems: Systems, kafka_settings: Settings, environment: dict[str, str], tmp_path: Path
) -> None:
    await create_topics(kafka_settings)
    orders = await seed_orders(systems, ORDER_COUNT, bad_rate=0.02)
    for start in range(0, ORDER_COUNT, SEND_SLICE):
        await announce_orders(kafka_settings, orders.records[start : start + SEND_SLICE])
    with SettleProcesses(tmp_path, environment) as processes:
        for name in ("worker-1", "worker-2"):
            processes.start(name, "worker")
        processes.start("intake", "intake")
        await until_taken_in(kafka_settings, DEADLINE_S)
        batches = await until_final(systems, DEADLINE_S)
    report = await require_clean(systems, ORDER_COUNT)
    assert (report.settled, report.rejected) == (orders.settled, orders.rejected)
    assert (report.duplicates, report.conflicts) == (0, 0)
    reasons: dict[str, int] = {}
    for batch in batches:
        for reason, count in (await systems.store.batches.fetch_reason_counts(batch.batch_id)).items():
            reasons[reason] = reasons.get(reason, 0) + count
    assert reasons == orders.reasons
    assert await fetch_lag(kafka_settings) == 0
    assert await fetch_dead_letters(kafka_settings) == []
    assert len(batches) >= ORDER_COUNT // limits.INTAKE_BATCH_SIZE_DEFAULT
