"""A batch of orders announced on Kafka is settled from its opening to its close, without intake."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from temporalio.client import Client

from schemas.orders import OverdueOrder, RecordVersion
from schemas.wire.batches import BatchSource, BatchState
from schemas.wire.reasons import ReasonCode
from settling.reporting import fetch_report
from settling.systems import Systems
from tests.support.settlements import (
    CALENDAR,
    NOW,
    fetch_current_details,
    fill,
    freeze,
    kafka_opening_of,
    opening_of,
    replaced,
    require_clean,
    require_settled,
    running_worker,
    seed_orders,
    settle,
)
from workflows.search_attributes import BUSINESS_DATE, SOURCE


async def fetch_offered(systems: Systems) -> Sequence[OverdueOrder]:
    return (await systems.order_center.fetch_overdue_slice(NOW, None, 1_000)).orders


@pytest.mark.parametrize("is_frozen_by_intake", [True, False], ids=["frozen before", "still open"])
async def test_a_kafka_batch_settles_and_acknowledges_all_its_orders_in_each_chunk(
    client: Client, systems: Systems, batch_id: str, *, is_frozen_by_intake: bool
) -> None:
    orders = await seed_orders(systems, 50, bad_rate=0.2)
    opening = kafka_opening_of(batch_id, chunk_size=20)
    await fill(systems, opening, orders.records)
    if is_frozen_by_intake:
        await systems.store.filling.freeze_batch(batch_id, CALENDAR)
    assert len(await fetch_offered(systems)) == 50
    async with running_worker(client, batch_id, systems):
        handle, result = await settle(client, batch_id, opening)
        details = await fetch_current_details(client, batch_id)
    report = await require_settled(systems, result, opening, orders)
    assert report.source == BatchSource.KAFKA
    assert await fetch_offered(systems) == []
    await require_clean(systems, 50)

    batch = await systems.store.batches.fetch_batch(batch_id)
    assert batch.cutoff_at is not None
    assert batch.business_date == CALENDAR.latest_business_date(batch.cutoff_at)
    described = await handle.describe()
    assert described.typed_search_attributes[SOURCE] == "kafka"
    assert described.typed_search_attributes[BUSINESS_DATE] == str(batch.business_date)
    assert await described.static_summary() == "settle orders announced on Kafka"
    assert "the orders that intake took from Kafka in chunks of **20**" in (await described.static_details() or "")
    assert details.startswith("**closed**")


async def test_a_record_changed_after_its_validation_is_a_conflict_in_the_next_run(
    client: Client, systems: Systems, batch_id: str
) -> None:
    orders = await seed_orders(systems, 40, bad_rate=0)
    changed = orders.records[25]._replace(refunded_minor=orders.records[25].paid_minor - 1)

    async def acknowledge(versions: Sequence[RecordVersion]) -> None:
        if changed.order_id in dict(versions):
            await systems.order_center.load_records([changed])
        await systems.order_center.acknowledge(versions)

    meddled = replace(systems, order_center=replaced(systems.order_center, "acknowledge", acknowledge))
    opening = kafka_opening_of(batch_id, chunk_size=20)
    await fill(systems, opening, orders.records)
    async with running_worker(client, batch_id, meddled):
        _, result = await settle(client, batch_id, opening)
    await require_settled(systems, result, opening, orders)
    assert [order.order_id for order in await fetch_offered(systems)] == [changed.order_id]

    await freeze(systems, opening_of("next-day", chunk_size=10, window=1))
    next_day = await systems.store.batches.fetch_batch("next-day")
    assert (next_day.item_count, next_day.duplicate_count, next_day.conflict_count) == (0, 0, 1)
    assert await fetch_offered(systems) == []


async def test_an_order_announced_wrongly_is_settled_by_the_next_run_as_recorded(
    client: Client, systems: Systems, batch_id: str
) -> None:
    orders = await seed_orders(systems, 10, bad_rate=0)
    wrong = orders.records[3]._replace(paid_minor=orders.records[3].paid_minor + 1)
    opening = kafka_opening_of(batch_id)
    await fill(systems, opening, [*orders.records[:3], wrong, *orders.records[4:]])
    next_day = opening_of(f"{batch_id}-next-day", chunk_size=10, window=1)
    async with running_worker(client, batch_id, systems):
        await settle(client, batch_id, opening)
        report = await fetch_report(systems.store, systems.fund_platform, batch_id)
        assert (report.state, report.reasons) == (BatchState.CLOSED, {ReasonCode.AMOUNT_DIFFERS: 1})
        assert [order.order_id for order in await fetch_offered(systems)] == [wrong.order_id]
        _, result = await settle(client, batch_id, next_day)
    assert result.totals.settled.order_count == 1
    audited = await require_clean(systems, 10)
    assert audited.settled == orders.settled
