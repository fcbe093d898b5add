"""The relay's loop, on a store in memory and a broker that a test can make fail."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError, ProducerFenced

from domain import limits
from domain.errors import UnavailableError
from messaging.relay import ResultTopic, run_relay
from settlement_store.port import SettlementStore
from tests.contract.settlement_batches import held, rejected, settle
from tests.doubles.settlement_store import MemorySettlementStore
from tests.doubles.settlement_store import outbox as memory_outbox
from tests.support.settlements import DEADLINE_S, eventually, replaced

ORDER_IDS = [f"O{n}" for n in range(20)]
Send = Callable[[str], Awaitable[None]]


class Broker:
    """Keeps what it acknowledged. While `error` is set, it acknowledges nothing."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.is_away = False
        self.is_silent = False
        self.opened_count = 0
        self.refused_count = 0
        self.records: list[dict[str, Any]] = []

    @asynccontextmanager
    async def open_producer(self) -> AsyncIterator["Broker"]:
        if self.is_away:
            self.refused_count += 1
            raise UnavailableError("Could not connect to Kafka.")
        self.opened_count += 1
        yield self

    async def send(self, topic: str, **record: Any) -> asyncio.Future[None]:
        acknowledgement: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.is_silent:
            self.refused_count += 1
        elif self.error:
            self.refused_count += 1
            acknowledgement.set_exception(self.error)
        else:
            self.records.append({"topic": topic, **record})
            acknowledgement.set_result(None)
        return acknowledgement

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(record["value"]) for record in self.records]

    @property
    def outcomes(self) -> list[tuple[str, int]]:
        return [(event["order_id"], event["outcome_no"]) for event in self.events]


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def store() -> SettlementStore:
    return MemorySettlementStore()


@pytest.fixture(autouse=True)
def short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RELAY_POLL_INTERVAL_S", "RELAY_RENEW_INTERVAL_S", "RELAY_RETRY_INITIAL_S", "RELAY_RETRY_MAX_S"):
        monkeypatch.setattr(limits, name, 0.01)


@asynccontextmanager
async def relaying(store: SettlementStore, broker: Broker, relay_id: str = "R1") -> AsyncIterator[None]:
    stop = asyncio.Event()
    relay = asyncio.create_task(run_relay(store.outbox, ResultTopic("results", broker.open_producer), relay_id, stop))
    try:
        yield
    finally:
        stop.set()
        async with asyncio.timeout(DEADLINE_S):
            await relay


async def is_empty(store: SettlementStore) -> bool:
    return await store.outbox.fetch_outbox_row(range(limits.RESULT_BUCKET_COUNT)) is None


async def require_delivered(store: SettlementStore, broker: Broker) -> None:
    await eventually(lambda: is_empty(store))
    assert set(broker.outcomes) == {(order_id, 1) for order_id in ORDER_IDS}


async def test_each_outcome_is_sent_once_if_nothing_fails(store: SettlementStore, broker: Broker) -> None:
    await settle(store, ORDER_IDS, "B1", rejects=[rejected(3)])
    async with relaying(store, broker):
        await require_delivered(store, broker)
    assert len(broker.events) == len(ORDER_IDS)
    assert {event["order_id"] for event in broker.events if event["outcome"] == "rejected"} == {sorted(ORDER_IDS)[3]}


async def test_a_record_has_its_order_as_key_and_cloudevents_headers(store: SettlementStore, broker: Broker) -> None:
    await settle(store, ["O1"], "B1", exceptions=[held(0)])
    async with relaying(store, broker):
        await eventually(lambda: is_empty(store))
    (record,), (event,) = broker.records, broker.events
    (item,) = await store.orders.fetch_items_of_order("O1")
    assert (record["topic"], record["key"]) == ("results", b"O1")
    assert event == {
        "schema_version": 1,
        "event_id": "settlement:O1:1",
        "order_id": "O1",
        "account_id": "A1",
        "batch_id": "B1",
        "amount_minor": 100,
        "currency": "USD",
        "outcome": "held",
        "reason_code": "PAYLOAD_CONFLICT",
        "outcome_no": 1,
        "stored_at": event["stored_at"],
    }
    assert datetime.fromisoformat(event["stored_at"]) == item.stored_at
    headers = {name: value.decode() for name, value in record["headers"]}
    assert datetime.fromisoformat(headers.pop("ce_time")) == item.stored_at
    assert headers == {
        "ce_specversion": "1.0",
        "ce_id": "settlement:O1:1",
        "ce_source": "settle",
        "ce_type": "settlement.result.v1",
        "content-type": "application/json",
    }


async def test_a_row_is_sent_in_slices(store: SettlementStore, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RELAY_SLICE_ITEM_COUNT", 7)
    slices = []

    async def fetch_outcomes(*arguments: Any) -> Any:
        slices.append(arguments[2:])
        return await store.outbox.fetch_outcomes(*arguments)

    await settle(store, ORDER_IDS, "B1")
    async with relaying(replaced(store, "fetch_outcomes", fetch_outcomes), broker):
        await require_delivered(store, broker)
    assert slices == [(0, 7), (7, 14), (14, 20)]
    assert len(broker.events) == len(ORDER_IDS)


@pytest.mark.parametrize(
    ("error", "reopens"),
    [
        (KafkaConnectionError("gone"), False),
        (KafkaTimeoutError("full"), False),
        (ProducerFenced(), True),
        (KafkaError("refused"), True),
    ],
)
async def test_nothing_is_marked_while_the_broker_refuses_and_all_is_sent_afterwards(
    store: SettlementStore, broker: Broker, error: Exception, reopens: bool
) -> None:
    await settle(store, ORDER_IDS, "B1")
    broker.error = error
    async with relaying(store, broker):

        async def is_refused_often() -> bool:
            return broker.refused_count > 5 * len(ORDER_IDS)

        await eventually(is_refused_often)
        row = await store.outbox.fetch_outbox_row(range(limits.RESULT_BUCKET_COUNT))
        assert row
        assert len(row.buckets) == limits.RESULT_BUCKET_COUNT
        broker.error = None
        await require_delivered(store, broker)
    assert (broker.opened_count > 1) == reopens


async def test_a_broker_that_is_away_is_waited_for(store: SettlementStore, broker: Broker) -> None:
    await settle(store, ORDER_IDS, "B1")
    broker.is_away = True
    async with relaying(store, broker):

        async def is_refused_often() -> bool:
            return broker.refused_count > 3

        await eventually(is_refused_often)
        broker.is_away = False
        await require_delivered(store, broker)


@pytest.mark.parametrize("method", ["lease_buckets", "fetch_outbox_row", "fetch_outcomes", "mark_delivered"])
@pytest.mark.parametrize("error", [OSError("gone"), RuntimeError("a bug")])
async def test_a_store_that_is_away_is_waited_for_and_nothing_is_lost(
    store: SettlementStore, broker: Broker, method: str, error: Exception
) -> None:
    await settle(store, ORDER_IDS, "B1")
    failures = iter([error] * 3)

    async def call(*arguments: Any) -> Any:
        for failure in failures:
            raise failure
        return await getattr(store.outbox, method)(*arguments)

    async with relaying(replaced(store, method, call), broker):
        await require_delivered(store, broker)


async def test_pauses_grow_to_a_bound_and_are_short_again_after_a_success(
    store: SettlementStore,
    broker: Broker,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(limits, "RELAY_RETRY_MAX_S", 0.05)
    passes = [False] * 5 + [True, False]

    async def lease_buckets(*arguments: Any) -> Any:
        if passes and not passes.pop(0):
            raise OSError("gone")
        return await store.outbox.lease_buckets(*arguments)

    def pauses() -> list[float]:
        return [record.pause_s for record in caplog.records if hasattr(record, "pause_s")]

    async def is_over() -> bool:
        return len(pauses()) == 6

    async with relaying(replaced(store, "lease_buckets", lease_buckets), broker):
        await eventually(is_over)
    assert pauses() == [0.01, 0.02, 0.04, 0.05, 0.05, 0.01]


async def test_leases_are_kept_while_kafka_acknowledges_nothing(
    store: SettlementStore, broker: Broker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The store's clock advances by most of a lease at each renewal, however long one takes."""
    monkeypatch.setattr(limits, "RELAY_GRACEFUL_STOP_S", 0.2)
    await settle(store, ORDER_IDS, "B1")
    broker.is_silent = True
    now_s = 0.0
    monkeypatch.setattr(memory_outbox, "time", SimpleNamespace(monotonic=lambda: now_s))

    async def lease_buckets(*arguments: Any) -> Any:
        nonlocal now_s
        now_s += 0.9 * limits.RELAY_LEASE_S
        return await store.outbox.lease_buckets(*arguments)

    relayed = replaced(store, "lease_buckets", lease_buckets)
    async with asyncio.timeout(DEADLINE_S):
        stop = asyncio.Event()
        relay = asyncio.create_task(run_relay(relayed.outbox, ResultTopic("results", broker.open_producer), "R1", stop))

        async def has_waited_long() -> bool:
            return len(caplog.records) > 40  # each of them a renewal

        await eventually(has_waited_long)
        assert await store.outbox.lease_buckets("rival", 0.1) == frozenset()
        stop.set()
        await relay
    assert not await is_empty(store)
    assert len(await store.outbox.lease_buckets("rival", 10)) == limits.RESULT_BUCKET_COUNT


async def test_a_relay_that_loses_its_lease_marks_nothing_and_the_other_delivers(
    store: SettlementStore, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "RELAY_RENEW_INTERVAL_S", 1_200)  # it does not check within a row
    await settle(store, ORDER_IDS, "B1")
    is_first = True

    async def fetch_outcomes(*arguments: Any) -> Any:
        nonlocal is_first
        found = await store.outbox.fetch_outcomes(*arguments)
        if is_first:
            is_first = False
            await store.outbox.release_buckets("R1")
            await store.outbox.lease_buckets("rival", 0.3)
        return found

    async def mark_delivered(*arguments: Any) -> Any:
        monkeypatch.setattr(limits, "RELAY_RENEW_INTERVAL_S", 0.01)
        return await store.outbox.mark_delivered(*arguments)

    losing = replaced(store, "fetch_outcomes", fetch_outcomes)
    async with relaying(replaced(losing, "mark_delivered", mark_delivered), broker):
        await eventually(lambda: is_empty(store))
    assert sorted(broker.outcomes) == sorted([(order_id, 1) for order_id in ORDER_IDS] * 2)


async def test_a_relay_that_stops_gives_its_leases_back(store: SettlementStore, broker: Broker) -> None:
    async with relaying(store, broker):

        async def is_leased() -> bool:
            return not await store.outbox.lease_buckets("rival", 0.01)

        await eventually(is_leased)
    await store.outbox.release_buckets("rival")
    assert len(await store.outbox.lease_buckets("R2", 10)) == limits.RESULT_BUCKET_COUNT


async def test_a_relay_stops_though_its_store_is_away(
    store: SettlementStore, broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)

    async def release_buckets(_: str) -> None:
        raise OSError("gone")

    async with relaying(replaced(store, "release_buckets", release_buckets), broker):
        pass
    assert "could not release its leases" in caplog.text
