"""Every outcome reaches the topic whatever stops a relay, and a reader keeps the right ones."""

import asyncio
from typing import Any

import pytest
from temporalio.client import Client

from database.pools import Pool
from domain import limits
from domain.errors import UnansweredError
from domain.identifiers import credit_key, result_event_id
from runtime.kafka import create_topics
from runtime.settings import Settings
from schemas.ledger import CreditRequest
from schemas.wire.reasons import Outcome, ReasonCode
from settling.systems import Systems
from tests.contract.settlement_batches import rejected
from tests.contract.settlement_batches import settle as settle_chunk
from tests.support.results_topic import (
    Told,
    deliver,
    is_delivered,
    kept_by_reader,
    outcomes_of,
    read_told,
    relaying,
)
from tests.support.settlements import (
    Gate,
    eventually,
    held,
    opening_of,
    replaced,
    rerun_opening_of,
    running_worker,
    seed_orders,
    settle,
)

ORDER_COUNT = 200
ORDER_IDS = [f"O-{n:03d}" for n in range(ORDER_COUNT)]


@pytest.fixture
async def topic(kafka_settings: Settings) -> Settings:
    await create_topics(kafka_settings)
    return kafka_settings


@pytest.fixture
def short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RELAY_LEASE_S", 0.5)
    monkeypatch.setattr(limits, "RELAY_RENEW_INTERVAL_S", 0.1)
    monkeypatch.setattr(limits, "RELAY_POLL_INTERVAL_S", 0.05)


async def stored_outcomes(systems: Systems, order_ids: list[str]) -> set[tuple[str, int, str, str | None]]:
    """Return every outcome that the orders ever had."""
    return {
        (order_id, item.claim_no, item.outcome, item.reason_code)
        for order_id in order_ids
        for item in await systems.store.orders.fetch_items_of_order(order_id)
    }


async def test_every_outcome_of_a_batch_and_of_its_rerun_is_told_once(
    client: Client, systems: Systems, batch_id: str, topic: Settings
) -> None:
    orders = await seed_orders(systems, ORDER_COUNT, bad_rate=0.2)
    credited = next(order.record for order in orders.sample if not order.reason_code)
    other_amount = CreditRequest(credit_key(credited.order_id), 1, credited.account_id, 1, credited.currency)
    await systems.fund_platform.credits.post_credits("another system", [other_amount])
    rerun = rerun_opening_of(f"{batch_id}-rerun", batch_id)
    async with running_worker(client, batch_id, systems), relaying(systems.store.outbox, topic, "R1"):
        await settle(client, batch_id, opening_of(batch_id, chunk_size=30, window=2))
        await settle(client, batch_id, rerun)
        await eventually(lambda: is_delivered(systems.store.outbox))
    told = await read_told(topic)
    expected = await stored_outcomes(systems, [record.order_id for record in orders.records])
    assert outcomes_of(told) == dict.fromkeys(expected, 1)
    reasons = {reason_code for *_, reason_code in expected}
    assert {None, ReasonCode.ORDER_DISPUTED, ReasonCode.ACCOUNT_CURRENCY_DIFFERS, ReasonCode.PAYLOAD_CONFLICT} < reasons
    assert {outcome_no for _, outcome_no, *_ in expected} == {1, 2}
    for event in (each.event for each in told):
        (record,) = [record for record in orders.records if record.order_id == event.order_id]
        assert event.batch_id == (batch_id, rerun.batch_id)[event.outcome_no - 1]
        assert event.event_id == result_event_id(event.order_id, event.outcome_no)
        assert (event.account_id, event.currency) == (record.account_id, record.currency)
        assert event.amount_minor == record.paid_minor - record.refunded_minor


async def test_a_relay_that_dies_between_sending_and_marking_repeats_and_loses_nothing(
    systems: Systems, topic: Settings, short_leases: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    await settle_chunk(systems.store, ORDER_IDS[:100], "B1", rejects=[rejected(7)])
    gate = Gate()
    async with relaying(held(systems.store.outbox, "mark_delivered", gate), topic, "R1") as relay:
        await gate.reached()
        relay.cancel()
    monkeypatch.setattr(limits, "RELAY_LEASE_S", 1_200)  # no lease expires on a busy machine
    first = await read_told(topic)
    await deliver(systems.store.outbox, topic, "R2")
    await gate.open()
    told = await read_told(topic)
    assert [each.event.order_id for each in first] == [ORDER_IDS[7]]  # the settled orders are in the next row
    assert told.count(first[0]) == 2
    assert set(outcomes_of(told)) == await stored_outcomes(systems, ORDER_IDS[:100])
    assert len(told) == 101


async def test_what_is_told_again_is_the_same_record(systems: Systems, topic: Settings) -> None:
    await settle_chunk(systems.store, ORDER_IDS[:50], "B1", exceptions=[])
    is_marked = False

    async def mark_delivered(*arguments: Any) -> Any:
        nonlocal is_marked
        if not is_marked:
            is_marked = True
            raise UnansweredError("The connection is gone.")
        return await systems.store.outbox.mark_delivered(*arguments)

    await deliver(replaced(systems.store.outbox, "mark_delivered", mark_delivered), topic)
    told = await read_told(topic)
    assert len(told) == 100
    assert len(set(told)) == 50


async def test_a_relay_stopped_past_its_lease_sends_old_news_and_the_reader_ends_right(
    systems: Systems, topic: Settings, short_leases: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    rejects = [rejected(n) for n in range(100)]
    await settle_chunk(systems.store, ORDER_IDS[:100], "B1", rejects=rejects)
    gate = Gate(held_count_max=1)
    async with relaying(held(systems.store.outbox, "fetch_outcomes", gate), topic, "stopped"):
        await gate.reached()
        monkeypatch.setattr(limits, "RELAY_LEASE_S", 1_200)  # no lease expires on a busy machine
        async with relaying(systems.store.outbox, topic, "R2"):
            await settle_chunk(systems.store, ORDER_IDS[:100], "B2")
            await eventually(lambda: is_delivered(systems.store.outbox))
            before = await read_told(topic)
            await gate.open()

            async def has_sent_old_news() -> list[Told]:
                return (await read_told(topic))[len(before) :]

            await eventually(has_sent_old_news)
    told = await read_told(topic)
    expected = await stored_outcomes(systems, ORDER_IDS[:100])
    assert set(outcomes_of(told)) == expected
    assert outcomes_of(before) == dict.fromkeys(expected, 1)
    assert outcomes_of(told)[ORDER_IDS[0], 1, "rejected", "ORDER_DISPUTED"] == 2
    kept = kept_by_reader(told)
    assert {(event.outcome, event.outcome_no) for event in kept.values()} == {(Outcome.SETTLED, 2)}
    assert len(kept) == 100
    last = {each.key: each.event.outcome_no for each in told}
    assert 1 in last.values(), "no old news came after the new: the test shows nothing"


async def test_several_relays_tell_everything_once_and_each_orders_outcomes_in_turn(
    systems: Systems, pools: dict[str, Pool], topic: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "RELAY_LEASE_S", 1_200)
    monkeypatch.setattr(limits, "RELAY_RENEW_INTERVAL_S", 0.1)
    monkeypatch.setattr(limits, "RELAY_POLL_INTERVAL_S", 0.02)
    calls: list[str] = []

    def counting(relay_id: str) -> Any:
        async def mark_delivered(*arguments: Any) -> Any:
            calls.append(relay_id)
            return await systems.store.outbox.mark_delivered(*arguments)

        return replaced(systems.store.outbox, "mark_delivered", mark_delivered)

    async with (
        relaying(counting("R1"), topic, "R1"),
        relaying(counting("R2"), topic, "R2"),
        relaying(counting("R3"), topic, "R3"),
    ):

        async def have_shares() -> bool:
            rows = await pools["settlement_store"].fetch("SELECT relay_id, bucket FROM relay_leases")
            return len({row["relay_id"] for row in rows}) == 3 and len(rows) == limits.RESULT_BUCKET_COUNT

        await eventually(have_shares)
        for n in range(4):
            await settle_chunk(systems.store, ORDER_IDS[:100], f"B{n}", rejects=[rejected(n) for n in range(100)])
        await eventually(lambda: is_delivered(systems.store.outbox))
    told = await read_told(topic)
    assert set(outcomes_of(told)) == await stored_outcomes(systems, ORDER_IDS[:100])
    assert set(calls) == {"R1", "R2", "R3"}
    assert set(outcomes_of(told).values()) == {1}
    outcome_nos: dict[bytes, list[int]] = {}
    for each in told:
        outcome_nos.setdefault(each.key, []).append(each.event.outcome_no)
    assert set(map(tuple, outcome_nos.values())) == {(1, 2, 3, 4)}


async def test_a_topic_that_is_missing_is_waited_for(systems: Systems, kafka_settings: Settings) -> None:
    await settle_chunk(systems.store, ORDER_IDS[:10], "B1")
    failed = asyncio.Event()

    async def lease_buckets(*arguments: Any) -> Any:
        failed.set()
        return await systems.store.outbox.lease_buckets(*arguments)

    async with relaying(replaced(systems.store.outbox, "lease_buckets", lease_buckets), kafka_settings, "R1"):
        await failed.wait()
        await create_topics(kafka_settings)
        await eventually(lambda: is_delivered(systems.store.outbox))
    assert len(await read_told(kafka_settings)) == 10
