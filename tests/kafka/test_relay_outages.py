"""A relay survives it when Apache Kafka is killed and restarted, or silent with its connections open."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from domain import limits
from runtime.kafka import create_topics
from runtime.settings import Settings
from settlement_store.port import SettlementStore
from tests.apache_kafka.broker import ApacheKafka
from tests.contract.settlement_batches import settle
from tests.doubles.settlement_store import MemorySettlementStore
from tests.support.results_topic import is_delivered, outcomes_of, read_told, relaying
from tests.support.settlements import eventually, replaced

BATCH_COUNT = 30
ORDER_COUNT = 100  # per batch


async def fill(store: SettlementStore) -> set[tuple[str, int, str, str | None]]:
    """Settle batches to have results to deliver."""
    for n in range(BATCH_COUNT):
        await settle(store, [f"O-{n:02d}-{m:02d}" for m in range(ORDER_COUNT)], f"B{n}")
    return {(f"O-{n:02d}-{m:02d}", 1, "settled", None) for n in range(BATCH_COUNT) for m in range(ORDER_COUNT)}


def marking(store: SettlementStore, marked: list[int]) -> SettlementStore:
    """Return the store, which notes the rows that were marked."""

    async def mark_delivered(relay_id: str, outbox_no: int, buckets: Any) -> Any:
        marked.append(outbox_no)
        await asyncio.sleep(0.01)  # the outage must be in the middle of the rows
        return await store.outbox.mark_delivered(relay_id, outbox_no, buckets)

    return replaced(store, "mark_delivered", mark_delivered)


@pytest.mark.parametrize(
    ("go_away", "come_back"),
    [(ApacheKafka.kill, ApacheKafka.start), (ApacheKafka.pause, ApacheKafka.resume)],
    ids=["killed", "silent"],
)
async def test_results_wait_for_a_broker_that_is_away_and_are_all_told(
    own_apache_kafka: ApacheKafka,
    own_kafka_settings: Settings,
    go_away: Callable[[ApacheKafka], None],
    come_back: Callable[[ApacheKafka], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    await create_topics(own_kafka_settings)
    store: SettlementStore = MemorySettlementStore()
    expected = await fill(store)
    marked: list[int] = []

    async def has_begun() -> bool:
        return len(marked) > BATCH_COUNT // 5

    async def says_that_it_waits() -> bool:
        return any(record.name == "messaging.relay" and record.levelname == "WARNING" for record in caplog.records)

    async with relaying(marking(store, marked).outbox, own_kafka_settings, "R1"):
        await eventually(has_begun)
        await asyncio.to_thread(go_away, own_apache_kafka)
        marked_count = len(marked)
        assert marked_count < BATCH_COUNT, "all was delivered before the broker went away"
        await eventually(says_that_it_waits)
        assert len(marked) <= marked_count + 1
        await asyncio.to_thread(come_back, own_apache_kafka)
        await eventually(lambda: is_delivered(store.outbox))
    told = outcomes_of(await read_told(own_kafka_settings))
    assert set(told) == expected


async def test_a_relay_stops_in_time_though_the_broker_is_silent(
    own_apache_kafka: ApacheKafka, own_kafka_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "RELAY_GRACEFUL_STOP_S", 1)
    monkeypatch.setattr(limits, "KAFKA_STOP_TIMEOUT_S", 1)
    await create_topics(own_kafka_settings)
    store: SettlementStore = MemorySettlementStore()
    await fill(store)
    marked: list[int] = []

    async def has_begun() -> bool:
        return bool(marked)

    async with relaying(marking(store, marked).outbox, own_kafka_settings, "R1") as relay:
        await eventually(has_begun)
        own_apache_kafka.pause()
    assert relay.done()
    assert not await is_delivered(store.outbox)
    assert len(await store.outbox.lease_buckets("R2", 10)) == limits.RESULT_BUCKET_COUNT
