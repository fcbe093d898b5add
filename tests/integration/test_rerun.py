"""A rerun settles exactly the repaired orders, and those with an unknown outcome with the payload requested before."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from temporalio.client import Client

from domain.errors import UnavailableError
from domain.identifiers import chunk_workflow_id, credit_key
from schemas.ledger import CreditRequest
from schemas.orders import OrderRecord, OrderStatus
from schemas.wire.batches import BatchOpening, BatchState
from schemas.wire.reasons import Outcome, ReasonCode
from schemas.wire.reports import BatchReport
from schemas.wire.totals import ControlTotals
from settling.reporting import fetch_report
from settling.systems import Systems
from tests.support.settlements import (
    DEADLINE_S,
    Gate,
    SeededOrders,
    eventually,
    held,
    opening_of,
    proof_of,
    replaced,
    require_clean,
    rerun_opening_of,
    running_worker,
    seed_orders,
    settle,
)
from workflows.batch_client import start_batch_workflow

ORDER_COUNT = 60


async def settle_and_report(client: Client, systems: Systems, queue: str, opening: BatchOpening) -> BatchReport:
    await settle(client, queue, opening)
    return await fetch_report(systems.store, systems.fund_platform, opening.batch_id)


async def outcomes_of(systems: Systems) -> dict[str, tuple[str, str | None]]:
    latest = await systems.store.audit.fetch_latest_items("", 1_000)
    return {item.order_id: (item.outcome, item.reason_code) for item in latest}


async def credits_of(systems: Systems) -> dict[str, int]:
    return {
        each.idempotency_key: each.amount_minor
        for each in await proof_of(systems.fund_platform).fetch_credits("", 1_000)
    }


def amount_of(record: OrderRecord) -> int:
    return record.paid_minor - record.refunded_minor


def rejected_for(orders: SeededOrders, reason: ReasonCode) -> list[OrderRecord]:
    return [order.record for order in orders.sample if order.reason_code == reason]


async def lose_the_answer(
    client: Client, systems: Systems, batch_id: str, opening: BatchOpening, *, posts: bool
) -> BatchReport:
    """Settle a batch of one chunk whose credit requests are never answered, posted or not, until a person ends it."""
    asked = asyncio.Event()

    async def post_credits(*arguments: Any) -> object:
        if posts:
            await systems.fund_platform.credits.post_credits(*arguments)
        asked.set()
        raise UnavailableError("The answer was lost.")

    deaf = replace(systems, fund_platform=replaced(systems.fund_platform, "post_credits", post_credits))
    async with running_worker(client, batch_id, deaf), asyncio.timeout(DEADLINE_S):
        handle = await start_batch_workflow(client, batch_id, opening)
        await asked.wait()
        await client.get_workflow_handle(chunk_workflow_id(opening.batch_id, 0)).terminate("an operator's hand")
        await handle.result()
    return await fetch_report(systems.store, systems.fund_platform, opening.batch_id)


async def refund(systems: Systems, records: Sequence[OrderRecord]) -> None:
    await systems.order_center.load_records([record._replace(refunded_minor=record.paid_minor) for record in records])


@pytest.mark.parametrize("posts", [True, False], ids=["credited", "never-arrived"])
async def test_an_unknown_credit_is_asked_for_as_it_was_though_the_order_was_refunded(
    client: Client, systems: Systems, batch_id: str, *, posts: bool
) -> None:
    orders = await seed_orders(systems, 20, bad_rate=0)
    first = await lose_the_answer(client, systems, batch_id, opening_of(batch_id, chunk_size=20, window=1), posts=posts)
    assert first.reasons == {ReasonCode.OUTCOME_UNKNOWN: 20}
    assert first.unconfirmed == (orders.planned if posts else ControlTotals())
    await refund(systems, orders.records)

    async with running_worker(client, batch_id, systems):
        rerun = await settle_and_report(client, systems, batch_id, rerun_opening_of(f"{batch_id}-rerun", batch_id))
        # The refunded records are offered again. They conflict with settled orders and get no credit.
        await settle(client, batch_id, opening_of(f"{batch_id}-next-day", chunk_size=20, window=1))

    assert (rerun.planned, rerun.settled, rerun.ledger, rerun.reasons) == (
        orders.planned,
        orders.planned,
        orders.planned,
        {},
    )
    assert rerun.rerun_of == batch_id
    assert await credits_of(systems) == {credit_key(record.order_id): amount_of(record) for record in orders.records}
    assert (await systems.store.batches.fetch_batch(f"{batch_id}-next-day")).conflict_count == 20
    audited = await require_clean(systems, 20)
    assert audited.settled == audited.ledger == orders.planned


async def test_a_credit_that_arrives_after_its_rerun_was_refused_creates_nothing(
    client: Client, systems: Systems, batch_id: str
) -> None:
    orders = await seed_orders(systems, 20, bad_rate=0)
    opening = opening_of(batch_id, chunk_size=20, window=1)
    accounts = {record.account_id for record in orders.records}
    gate = Gate()
    slow = replace(systems, fund_platform=held(systems.fund_platform, "post_credits", gate))
    async with running_worker(client, batch_id, slow), asyncio.timeout(DEADLINE_S):
        handle = await start_batch_workflow(client, batch_id, opening)
        await gate.reached()
        await client.get_workflow_handle(chunk_workflow_id(batch_id, 0)).terminate("an operator's hand")
        await handle.result()

    for account_id in accounts:
        await systems.fund_platform.accounts.close_account(account_id)
    async with running_worker(client, batch_id, systems):
        rerun = await settle_and_report(client, systems, batch_id, rerun_opening_of(f"{batch_id}-rerun", batch_id))
    assert rerun.reasons == {ReasonCode.ACCOUNT_CLOSED: 20}
    for account_id in accounts:
        await systems.fund_platform.accounts.reopen_account(account_id)
    await gate.open()

    assert await credits_of(systems) == {}
    audited = await require_clean(systems, 20)
    assert (audited.rejected, audited.ledger) == (orders.planned, ControlTotals())
    first = await fetch_report(systems.store, systems.fund_platform, batch_id)
    assert (first.held, first.unconfirmed, first.balanced) == (orders.planned, ControlTotals(), True)

    async with running_worker(client, batch_id, systems):
        second = rerun_opening_of(f"{batch_id}-rerun-2", f"{batch_id}-rerun")
        assert (await settle_and_report(client, systems, batch_id, second)).settled == orders.planned
    await require_clean(systems, 20)


async def test_a_rerun_settles_exactly_what_was_repaired_and_the_rest_keep_their_reasons(
    client: Client, systems: Systems, batch_id: str
) -> None:
    orders = await seed_orders(systems, ORDER_COUNT, bad_rate=0.4)
    closed_account_id = next(order.record.account_id for order in orders.sample if not order.reason_code)
    await systems.fund_platform.accounts.close_account(closed_account_id)
    async with running_worker(client, batch_id, systems):
        first = await settle_and_report(client, systems, batch_id, opening_of(batch_id, chunk_size=13, window=2))
        before = await outcomes_of(systems)

        unrepaired = await settle_and_report(client, systems, batch_id, rerun_opening_of(f"{batch_id}-1", batch_id))
        assert (unrepaired.rejected, unrepaired.reasons) == (first.rejected, first.reasons)
        assert await outcomes_of(systems) == before

        disputed = rejected_for(orders, ReasonCode.ORDER_DISPUTED)
        assert disputed
        await systems.order_center.load_records(
            [record._replace(status=OrderStatus.COMPLETED, paid_minor=77, refunded_minor=7) for record in disputed]
        )
        await systems.fund_platform.accounts.reopen_account(closed_account_id)
        repaired = await settle_and_report(
            client, systems, batch_id, rerun_opening_of(f"{batch_id}-2", f"{batch_id}-1", chunk_size=5)
        )

    after = await outcomes_of(systems)
    changed = {order_id for order_id in before if after[order_id] != before[order_id]}
    reopened = {order_id for order_id, outcome in before.items() if outcome == ("rejected", "ACCOUNT_CLOSED")}
    assert reopened
    assert changed == reopened | {record.order_id for record in disputed}
    assert all(after[order_id] == ("settled", None) for order_id in changed)
    assert repaired.settled.order_count == len(changed)
    assert repaired.reasons == {
        reason: item_count
        for reason, item_count in first.reasons.items()
        if reason not in (ReasonCode.ORDER_DISPUTED, ReasonCode.ACCOUNT_CLOSED)
    }
    credited = await credits_of(systems)
    assert [credited[credit_key(record.order_id)] for record in disputed] == [70] * len(disputed)
    await require_clean(systems, ORDER_COUNT)

    async with running_worker(client, batch_id, systems):
        # The orders that the rerun has read are acknowledged, so neither duplicates nor rejected orders come back.
        _, next_day = await settle(client, batch_id, opening_of(f"{batch_id}-next-day", chunk_size=5, window=1))
    assert next_day.planned == ControlTotals()
    assert (await systems.store.batches.fetch_batch(f"{batch_id}-next-day")).duplicate_count == 0


async def test_a_rerun_of_one_outcome_and_reason_leaves_all_others(
    client: Client, systems: Systems, batch_id: str
) -> None:
    await seed_orders(systems, ORDER_COUNT, bad_rate=0.4)
    async with running_worker(client, batch_id, systems):
        first = await settle_and_report(client, systems, batch_id, opening_of(batch_id, chunk_size=100, window=2))
        unpaid: dict[str, Any] = {"outcomes": (Outcome.REJECTED,), "reason_code": ReasonCode.ORDER_UNPAID}
        some = await settle_and_report(client, systems, batch_id, rerun_opening_of(f"{batch_id}-1", batch_id, **unpaid))
        not_rejected: dict[str, Any] = {"outcomes": (Outcome.HELD, Outcome.FAILED)}
        none = await settle_and_report(
            client, systems, batch_id, rerun_opening_of(f"{batch_id}-2", batch_id, **not_rejected)
        )
    assert some.reasons == {ReasonCode.ORDER_UNPAID: first.reasons[ReasonCode.ORDER_UNPAID]}
    assert (none.planned, none.state) == (ControlTotals(), BatchState.CLOSED)
    await require_clean(systems, ORDER_COUNT)


async def test_reruns_at_once_beside_the_first_batch_take_each_item_once(
    client: Client, systems: Systems, batch_id: str
) -> None:
    orders = await seed_orders(systems, ORDER_COUNT, bad_rate=0.4)
    gate = Gate()
    last_chunk_id = chunk_workflow_id(batch_id, 5)
    slow = replace(
        systems,
        fund_platform=held(
            systems.fund_platform, "post_credits", gate, lambda reference, _: reference == last_chunk_id
        ),
    )
    opening = opening_of(batch_id, chunk_size=10, window=2)
    async with running_worker(client, batch_id, slow), asyncio.timeout(DEADLINE_S):
        handle = await start_batch_workflow(client, batch_id, opening)

        async def others_are_closed() -> bool:
            return (await systems.store.batches.fetch_progress(batch_id)).chunk_closed_count == 5

        await gate.reached()
        await eventually(others_are_closed)
        stored = (await systems.store.batches.fetch_reason_counts(batch_id)).values()
        reruns = [rerun_opening_of(f"{batch_id}-rerun-{n}", batch_id) for n in range(3)]
        results = await asyncio.gather(*(settle(client, batch_id, rerun) for rerun in reruns))
        taken = [result.planned.order_count for _, result in results]
        await gate.open()
        result = await handle.result()
    assert sum(taken) == sum(stored)
    assert result.state == BatchState.CLOSED
    assert result.totals.rejected == orders.rejected
    claim_nos = Counter(outcome for outcome, _ in (await outcomes_of(systems)).values())
    assert claim_nos["settled"] == orders.settled.order_count
    await require_clean(systems, ORDER_COUNT)


async def test_a_rerun_ended_before_an_answer_leaves_the_unknown_unknown(
    client: Client, systems: Systems, batch_id: str
) -> None:
    orders = await seed_orders(systems, 20, bad_rate=0.5)
    first = await lose_the_answer(client, systems, batch_id, opening_of(batch_id, chunk_size=20, window=1), posts=True)
    unknown_count = first.reasons[ReasonCode.OUTCOME_UNKNOWN]
    await refund(systems, orders.records)
    rerun = rerun_opening_of(f"{batch_id}-rerun", batch_id)
    gate = Gate()
    slow = replace(systems, store=held(systems.store, "store_validation", gate))
    async with running_worker(client, batch_id, slow), asyncio.timeout(DEADLINE_S):
        handle = await start_batch_workflow(client, batch_id, rerun)
        await gate.reached()
        await client.get_workflow_handle(chunk_workflow_id(rerun.batch_id, 0)).terminate("an operator's hand")
        await handle.result()
        await gate.open()
    report = await fetch_report(systems.store, systems.fund_platform, rerun.batch_id)
    assert report.reasons == {
        ReasonCode.OUTCOME_UNKNOWN: unknown_count,
        ReasonCode.NOT_ATTEMPTED: 20 - unknown_count,
    }
    await require_clean(systems, 20)

    async with running_worker(client, batch_id, systems):
        last = await settle_and_report(
            client, systems, batch_id, rerun_opening_of(f"{batch_id}-rerun-2", rerun.batch_id)
        )
    assert last.held == ControlTotals()
    # Orders with a posted credit are settled with their old amount. All others are refunded by now.
    assert last.settled == last.ledger == first.unconfirmed
    await require_clean(systems, 20)


async def test_a_payload_conflict_stays_held_until_its_record_agrees_with_the_credit(
    client: Client, systems: Systems, batch_id: str
) -> None:
    orders = await seed_orders(systems, 5, bad_rate=0)
    credited = [record._replace(refunded_minor=1) for record in orders.records]
    await systems.fund_platform.credits.post_credits("by hand", [_request_of(record) for record in credited])
    async with running_worker(client, batch_id, systems):
        first = await settle_and_report(client, systems, batch_id, opening_of(batch_id, chunk_size=9, window=1))
        await refund(systems, orders.records)
        second = await settle_and_report(client, systems, batch_id, rerun_opening_of(f"{batch_id}-1", batch_id))
        await systems.order_center.load_records(credited)
        third = await settle_and_report(client, systems, batch_id, rerun_opening_of(f"{batch_id}-2", f"{batch_id}-1"))
    assert first.reasons == second.reasons == {ReasonCode.PAYLOAD_CONFLICT: 5}
    assert (third.settled.order_count, third.reasons) == (5, {})
    await require_clean(systems, 5)


def _request_of(record: OrderRecord) -> CreditRequest:
    return CreditRequest(credit_key(record.order_id), 1, record.account_id, amount_of(record), record.currency)
