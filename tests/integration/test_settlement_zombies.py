"""Attempts that were presumed dead and continue after a later one has finished change nothing and credit nothing twice.

An account is closed and reopened in between, so that an attempt's answer depends on when it asks.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType, TimeoutType
from temporalio.client import Client

from domain import limits
from domain.errors import UnavailableError
from domain.identifiers import chunk_workflow_id, credit_key
from schemas.chunks import ChunkKey
from schemas.orders import OrderRecord, OrderStatus
from schemas.wire.batches import BatchState
from schemas.wire.reasons import ReasonCode
from schemas.wire.totals import ControlTotals, OutcomeTotals
from settling import both_steps
from settling.balancing import check_balance
from settling.systems import Systems
from tests.support.settlements import (
    NOW,
    Gate,
    fetch_events,
    freeze,
    held,
    load_orders,
    of_type,
    opening_of,
    proof_of,
    replaced,
    require_clean,
    running_worker,
    seed_orders,
)
from tests.support.steps import credit, settle_at_once, validate
from workflows.batch_client import start_batch_workflow

ACCOUNT_ID = "A0000000000"  # kept in USD
OTHER_ACCOUNT_ID = "A0000000020"  # also kept in USD


def record_of(order_no: int, account_id: str) -> OrderRecord:
    ended_at = NOW - timedelta(days=30)
    return OrderRecord(
        f"O-{order_no}", account_id, 1_000 + order_no, 0, "USD", OrderStatus.COMPLETED, ended_at, ended_at
    )


# The orders of the account that is closed meanwhile, and those of another account.
WAVERING = [record_of(order_no, ACCOUNT_ID) for order_no in range(3)]
STEADY = [record_of(order_no, OTHER_ACCOUNT_ID) for order_no in range(3, 6)]


@pytest.fixture
async def ref(systems: Systems) -> ChunkKey:
    """The only chunk of a running batch over all the orders."""
    await load_orders(systems, WAVERING + STEADY)
    return await run_batch(systems, "first")


async def run_batch(systems: Systems, batch_id: str) -> ChunkKey:
    opening = opening_of(batch_id, chunk_size=100, window=1)
    await freeze(systems, opening)
    await systems.store.batches.set_running(batch_id)
    return ChunkKey(batch_id, 0)


async def fail(*_: object, **__: object) -> OutcomeTotals:
    raise UnavailableError("A system was away.")


async def close_batch(systems: Systems, ref: ChunkKey) -> None:
    report = await check_balance(systems.store, systems.fund_platform, ref.batch_id)
    assert (await systems.store.batches.close_batch(report)).state == BatchState.CLOSED


async def require_outcome(
    systems: Systems, *, settled: list[OrderRecord], rejected: list[OrderRecord], reason: ReasonCode | None = None
) -> None:
    """Require these outcomes, one credit for each settled order and no other credit."""
    audited = await require_clean(systems, len(WAVERING + STEADY))
    outcomes = {
        item.order_id: (item.outcome, item.reason_code)
        for item in await systems.store.audit.fetch_latest_items("", audited.orders + 1)
    }
    assert outcomes == {record.order_id: ("settled", None) for record in settled} | {
        record.order_id: ("rejected", reason) for record in rejected
    }
    posted = await proof_of(systems.fund_platform).fetch_credits("", audited.orders + 1)
    assert {each.idempotency_key: each.amount_minor for each in posted} == {
        credit_key(record.order_id): record.paid_minor for record in settled
    }
    assert audited.ledger == audited.settled
    assert audited.conflicts == 0


async def set_account(systems: Systems, state: str) -> None:
    change = {
        "closed": systems.fund_platform.accounts.close_account,
        "open": systems.fund_platform.accounts.reopen_account,
    }[state]
    await change(ACCOUNT_ID)


async def hold_back(
    systems: Systems, ref: ChunkKey, step: Callable[[Systems, ChunkKey], Awaitable[OutcomeTotals]], at: str
) -> tuple[Gate, asyncio.Task[OutcomeTotals]]:
    """Start an attempt and hold it back at a call."""
    gate = Gate()
    if at in vars(type(systems.store.chunks)):
        slow = replace(systems, store=held(systems.store, at, gate))
    else:
        slow = replace(systems, fund_platform=held(systems.fund_platform, at, gate))
    attempt = asyncio.ensure_future(step(slow, ref))
    await gate.reached()
    return gate, attempt


@pytest.mark.parametrize(
    ("held_at", "at_first", "in_between", "at_last", "is_rejected"),
    [
        # The early attempt has asked nothing yet, so the later attempt's answer is final.
        ("post_credits", "open", "closed", "open", True),
        ("post_credits", "closed", "open", "closed", False),
        # The early attempt got an answer and could not store it, so the later attempt gets the same answer.
        ("store_outcomes", "open", "closed", "open", False),
        ("store_outcomes", "closed", "open", "closed", True),
    ],
)
async def test_a_credit_attempt_held_back_until_a_later_one_has_finished_changes_nothing(
    systems: Systems, ref: ChunkKey, held_at: str, at_first: str, in_between: str, at_last: str, is_rejected: bool
) -> None:
    await validate(systems, ref)
    await set_account(systems, at_first)
    gate, early_attempt = await hold_back(systems, ref, credit, held_at)
    await set_account(systems, in_between)
    totals = await credit(systems, ref)
    await set_account(systems, at_last)
    await gate.open()
    assert await early_attempt == totals
    await close_batch(systems, ref)
    if is_rejected:
        await require_outcome(systems, settled=STEADY, rejected=WAVERING, reason=ReasonCode.ACCOUNT_CLOSED)
    else:
        await require_outcome(systems, settled=WAVERING + STEADY, rejected=[])


@pytest.mark.parametrize("change", ["another date", "another amount", "another closing"])
async def test_a_credit_held_back_until_its_rejected_orders_came_again_creates_nothing(
    systems: Systems, ref: ChunkKey, change: str
) -> None:
    """The claims belong to a second batch by now. It credits the orders, also with another amount, or is refused."""
    await validate(systems, ref)
    gate, early_attempt = await hold_back(systems, ref, credit, "post_credits")
    await set_account(systems, "closed")
    await credit(systems, ref)
    await close_batch(systems, ref)
    orders = [
        record._replace(completed_at=record.completed_at - timedelta(days=1))
        if change != "another amount"
        else record._replace(paid_minor=record.paid_minor + 5_000)
        for record in WAVERING
    ]
    await load_orders(systems, orders)
    if change != "another closing":
        await set_account(systems, "open")
    second = await run_batch(systems, "second")
    await validate(systems, second)
    await credit(systems, second)
    await close_batch(systems, second)
    await set_account(systems, "open")
    await gate.open()
    assert await early_attempt == await systems.store.chunks.fetch_chunk_totals("first", 0)
    if change == "another closing":
        await require_outcome(systems, settled=STEADY, rejected=orders, reason=ReasonCode.ACCOUNT_CLOSED)
    else:
        await require_outcome(systems, settled=orders + STEADY, rejected=[])


@pytest.mark.parametrize(
    ("seen_early", "seen_later"),
    [(OrderStatus.DISPUTED, OrderStatus.COMPLETED), (OrderStatus.COMPLETED, OrderStatus.DISPUTED)],
)
async def test_a_validation_attempt_held_back_until_its_chunk_is_closed_changes_nothing(
    systems: Systems, ref: ChunkKey, seen_early: OrderStatus, seen_later: OrderStatus
) -> None:
    await load_orders(systems, [record._replace(status=seen_early) for record in WAVERING])
    gate, early_attempt = await hold_back(systems, ref, validate, "store_validation")
    await load_orders(systems, [record._replace(status=seen_later) for record in WAVERING])
    await validate(systems, ref)
    totals = await credit(systems, ref)
    await gate.open()
    assert await early_attempt == totals
    await close_batch(systems, ref)
    if seen_later == OrderStatus.DISPUTED:
        await require_outcome(systems, settled=STEADY, rejected=WAVERING, reason=ReasonCode.ORDER_DISPUTED)
    else:
        await require_outcome(systems, settled=WAVERING + STEADY, rejected=[])


async def test_a_validation_held_back_rejects_nothing_that_a_later_one_lets_be_credited(
    systems: Systems, ref: ChunkKey
) -> None:
    await load_orders(systems, [record._replace(status=OrderStatus.DISPUTED) for record in WAVERING])
    gate, early_attempt = await hold_back(systems, ref, validate, "store_validation")
    await load_orders(systems, WAVERING)
    assert await validate(systems, ref) == OutcomeTotals()
    await gate.open()
    assert await early_attempt == OutcomeTotals()
    await credit(systems, ref)
    await close_batch(systems, ref)
    await require_outcome(systems, settled=WAVERING + STEADY, rejected=[])


async def test_an_attempt_that_did_not_validate_its_chunk_credits_nothing_rejected(
    systems: Systems, ref: ChunkKey
) -> None:
    gate, early_attempt = await hold_back(systems, ref, settle_at_once, "store_validation")
    await load_orders(systems, [record._replace(status=OrderStatus.DISPUTED) for record in WAVERING])
    await validate(systems, ref)
    await gate.open()
    assert await early_attempt == await systems.store.chunks.fetch_chunk_totals("first", 0)
    await close_batch(systems, ref)
    await require_outcome(systems, settled=STEADY, rejected=WAVERING, reason=ReasonCode.ORDER_DISPUTED)


@pytest.mark.parametrize("seed", [1, 2])
async def test_attempts_in_any_interleaving_leave_one_outcome_an_order(systems: Systems, seed: int) -> None:
    """Every call to a system waits for a random number of others first. Accounts and records change meanwhile."""
    rng = random.Random(seed)
    orders = await seed_orders(systems, 150, seed=seed, bad_rate=0.1)
    opening = opening_of("first", chunk_size=50, window=1)
    await freeze(systems, opening)
    await systems.store.batches.set_running("first")
    refs = [ChunkKey("first", index) for index in range(3)]
    hot_account_id = "A0000000000"
    calm = asyncio.Event()

    async def waver() -> None:
        while not calm.is_set():
            await rng.choice(
                [systems.fund_platform.accounts.close_account, systems.fund_platform.accounts.reopen_account]
            )(hot_account_id)
            record = rng.choice(orders.records)
            await systems.order_center.load_records([record._replace(status=rng.choice(list(OrderStatus)))])

    async def attempt(ref: ChunkKey) -> OutcomeTotals:
        for _ in range(rng.randrange(20)):
            await systems.store.chunks.fetch_chunk(ref.batch_id, ref.chunk_index)
        if rng.random() < 0.5:
            return await settle_at_once(systems, ref)
        await validate(systems, ref)
        for _ in range(rng.randrange(20)):
            await systems.store.chunks.fetch_chunk(ref.batch_id, ref.chunk_index)
        return await credit(systems, ref)

    wavering = asyncio.create_task(waver())
    attempts = [ref for ref in refs for _ in range(4)]
    totals = await asyncio.gather(*(attempt(ref) for ref in attempts))
    calm.set()
    await wavering
    for ref, chunk_totals in zip(attempts, totals, strict=True):
        assert chunk_totals == await systems.store.chunks.fetch_chunk_totals(ref.batch_id, ref.chunk_index)
    await close_batch(systems, refs[0])
    audited = await require_clean(systems, len(orders.records))
    assert audited.ledger == audited.settled
    assert audited.held == ControlTotals()


async def test_a_credit_whose_heartbeats_stopped_credits_nothing_after_the_next_attempt(
    client: Client, systems: Systems, batch_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Temporal times the silent attempt out and retries it. After that the first request arrives."""
    await load_orders(systems, WAVERING + STEADY)
    opening = opening_of(batch_id, chunk_size=100, window=1)
    gate = Gate(held_count_max=1)
    is_first = iter([True])

    async def post_credits(*arguments: Any) -> object:
        """Before the next attempt the account is closed, and heartbeats resume, however soon it comes."""
        if next(is_first, False):
            await set_account(systems, "closed")
            monkeypatch.setattr(limits, "HEARTBEAT_INTERVAL_S", 0.5)
        return await gate.call(systems.fund_platform.credits.post_credits, *arguments)

    slow = replace(systems, fund_platform=replaced(systems.fund_platform, "post_credits", post_credits))
    monkeypatch.setattr(both_steps, "settle_chunk", fail)  # each step becomes an activity with heartbeats
    async with running_worker(client, batch_id, slow):
        monkeypatch.setattr(limits, "HEARTBEAT_INTERVAL_S", 3_600)
        handle = await start_batch_workflow(client, batch_id, opening)
        await gate.reached()
        await handle.result()
        await set_account(systems, "open")
        await gate.open()
    await require_outcome(systems, settled=STEADY, rejected=WAVERING, reason=ReasonCode.ACCOUNT_CLOSED)
    events = await fetch_events(client, chunk_workflow_id(batch_id, 0))
    _, credited = [
        event.activity_task_started_event_attributes
        for event in of_type(events, EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED)
    ]
    assert credited.attempt >= 2
    assert credited.last_failure.timeout_failure_info.timeout_type == TimeoutType.TIMEOUT_TYPE_HEARTBEAT
