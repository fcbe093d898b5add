"""Orders whose data make a step fail become exception items, and the others of their chunks are settled."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from math import log2
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client

from database.pools import Pool
from domain import limits
from domain.control_totals import totals_of
from domain.errors import DataError
from domain.identifiers import chunk_workflow_id, credit_key
from domain.order_rules import find_rejects
from schemas.items import Item
from schemas.ledger import CreditRequest, CreditResultCode
from schemas.orders import FetchedRecord, OrderRecord
from schemas.wire.batches import BatchOpening, BatchState
from schemas.wire.control import ControlInput
from schemas.wire.payloads import ChunkResult
from schemas.wire.reasons import Outcome, ReasonCode
from schemas.wire.totals import ControlTotals
from settling import validating
from settling.order_life import fetch_order_life
from settling.systems import Systems
from tests.support.settlements import (
    Gate,
    eventually,
    fetch_events,
    freeze,
    held,
    of_type,
    opening_of,
    replaced,
    require_clean,
    rerun_opening_of,
    running_worker,
    seed_orders,
    settle,
    start_chunk_by_hand,
)
from workflows.batch_client import start_batch_workflow
from workflows.settle_batch import SettleBatchWorkflow
from workflows.settle_chunk import SettleChunkWorkflow

STOP_POSTINGS = """
    CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'the key % is cursed', new.idempotency_key;
    END $$;
"""
STOP_TABLE = """
    CREATE TRIGGER stop_{table} BEFORE INSERT ON {table} FOR EACH ROW
    WHEN (new.idempotency_key IN ({keys})) EXECUTE FUNCTION stop()
"""
MAKE_UNREADABLE = "UPDATE orders SET after_sale_ends_at = '20000-01-01' WHERE order_id = ANY ($1)"


def break_a_rule(monkeypatch: pytest.MonkeyPatch, order_ids: Sequence[str]) -> None:
    """Plant a bug in one rule that some orders trigger."""

    def broken(
        items: Sequence[Item], records: Sequence[FetchedRecord], cutoff_at: datetime
    ) -> list[tuple[Item, ReasonCode]]:
        if not {item.order_id for item in items}.isdisjoint(order_ids):
            raise ZeroDivisionError("a bug in a rule")
        return find_rejects(items, records, cutoff_at)

    monkeypatch.setattr(validating, "find_rejects", broken)


async def stop(fund_platform: Pool, table: str, order_ids: Sequence[str]) -> None:
    """Make the Fund Platform's database raise an error for these orders."""
    keys = ", ".join(f"'{credit_key(order_id)}'" for order_id in order_ids)
    await fund_platform.execute(STOP_TABLE.format(table=table, keys=keys))


def garbled(systems: Systems, order_ids: Sequence[str]) -> Systems:
    """Return systems whose Fund Platform gives unreadable answers for these orders."""
    keys = {credit_key(order_id) for order_id in order_ids}
    changed = systems.fund_platform

    def garbling(method: str) -> Callable[..., Any]:
        original = getattr(systems.fund_platform.credits, method)

        async def ask(reference: str, requests: Sequence[CreditRequest]) -> dict[str, str]:
            answers = await original(reference, requests)
            return {key: "paid in cash" if key in keys else code for key, code in answers.items()}

        return ask

    for method in ("post_credits", "withdraw_credits"):
        changed = replaced(changed, method, garbling(method))
    return replace(systems, fund_platform=changed)


def planned_of(records: Sequence[OrderRecord]) -> ControlTotals:
    return totals_of((record.currency, 1, record.paid_minor - record.refunded_minor) for record in records)


async def count_activities(client: Client, opening: BatchOpening, chunk_count: int) -> list[int]:
    """Count the activities that each chunk scheduled."""
    return [
        len(
            of_type(
                await fetch_events(client, chunk_workflow_id(opening.batch_id, chunk_index)),
                EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED,
            )
        )
        for chunk_index in range(chunk_count)
    ]


async def fetch_chunk_result(client: Client, batch_id: str, chunk_index: int) -> ChunkResult:
    return await client.get_workflow_handle_for(
        SettleChunkWorkflow.run, chunk_workflow_id(batch_id, chunk_index)
    ).result()


async def test_7_poison_orders_of_20000_stand_alone_and_all_others_are_settled(
    client: Client,
    systems: Systems,
    pools: dict[str, Pool],
    batch_id: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """There is an unreadable record, a bug in a rule, a database that raises, and an unreadable answer."""
    orders = await seed_orders(systems, 20_000, bad_rate=0)
    poison = [orders.records[n] for n in (3, 2_500, 4_999, 7_777, 11_111, 12_000, 19_999)]
    ids = [record.order_id for record in poison]
    opening = opening_of(batch_id, chunk_size=5_000, window=4)
    await freeze(systems, opening)
    await pools["order_center"].execute(MAKE_UNREADABLE, ids[:2])
    break_a_rule(monkeypatch, ids[2:3])
    await pools["fund_platform"].execute(STOP_POSTINGS)
    await stop(pools["fund_platform"], "postings", ids[3:5])
    await stop(pools["fund_platform"], "credit_answers", ids[5:6])
    async with running_worker(client, batch_id, garbled(systems, ids[6:])):
        _, result = await settle(client, batch_id, opening)

    failed, held_unknown = planned_of(poison[:5]), planned_of(poison[5:])
    assert result.state == BatchState.CLOSED
    assert result.totals.settled.order_count == 19_993
    assert (result.totals.failed, result.totals.held) == (failed, held_unknown)
    assert result.totals.rejected == ControlTotals()
    report = await require_clean(systems, 20_000)
    assert (report.failed, report.held, report.unconfirmed) == (failed, held_unknown, planned_of(poison[6:]))
    said = {
        ids[0]: "'20000-01-01 00:00:00+00'",
        ids[1]: "'20000-01-01 00:00:00+00'",
        ids[2]: "ZeroDivisionError",
        ids[3]: f"the key {credit_key(ids[3])} is cursed",
        ids[4]: f"the key {credit_key(ids[4])} is cursed",
        ids[5]: "withdrawing the credit failed too: The Fund Platform's database cannot accept or return these data",
        ids[6]: "'paid in cash' is not a valid CreditResultCode",
    }
    for order_id, error in said.items():
        life = await fetch_order_life(systems, order_id)
        [item] = life.items
        is_held = order_id in ids[5:]
        assert item.outcome == (Outcome.HELD if is_held else Outcome.FAILED)
        assert item.reason_code == (ReasonCode.OUTCOME_UNKNOWN if is_held else ReasonCode.DATA_ERROR)
        assert item.detail
        assert error in item.detail
        assert bool(life.order_error) == (life.order is None) == (order_id in ids[:2])
    extra_count = sum(await count_activities(client, opening, 4)) - 4 * 2
    sys.stdout.write(f"7 poison orders of 20,000 took {extra_count} extra activities\n")
    assert extra_count <= 7 * (2 * log2(5_000) + 2)


async def test_a_chunk_all_of_poison_is_bounded_and_its_batch_pauses_and_says_why(
    client: Client, systems: Systems, batch_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = await seed_orders(systems, 1_500, bad_rate=0)
    break_a_rule(monkeypatch, [record.order_id for record in orders.records[500:1_000]])
    opening = opening_of(batch_id, chunk_size=500, window=1)
    await freeze(systems, opening)
    async with running_worker(client, batch_id, systems):
        handle = await start_batch_workflow(client, batch_id, opening)

        async def paused() -> str | None:
            batch = await systems.store.batches.fetch_batch(batch_id)
            if batch.state != BatchState.PAUSED:
                return None
            return (await systems.store.control.fetch_control_actions(batch_id))[-1].reason

        reason = await eventually(paused)
        result = await fetch_chunk_result(client, batch_id, 1)
        assert result.probe_count == limits.CHUNK_PROBE_COUNT_MAX
        assert result.failed.order_count >= 190
        assert result.failed.order_count + result.held.order_count == 500
        assert reason.startswith(
            f"Chunk 1: 400 probes isolated {result.failed.order_count} orders that could not be validated because of "
            f"their data. More such orders may remain, so up to {result.held.order_count} others are held."
        )
        assert "ZeroDivisionError" in reason
        events = await fetch_events(client, chunk_workflow_id(batch_id, 1))
        assert len(events) < 3_000

        monkeypatch.undo()
        await handle.execute_update(SettleBatchWorkflow.resume, ControlInput(requested_by="a test"))
        closed = await handle.result()
        assert closed.totals.settled.order_count == 1_000
        assert await systems.store.batches.fetch_reason_counts(batch_id) == {
            ReasonCode.DATA_ERROR: result.failed.order_count,
            ReasonCode.NOT_ATTEMPTED: result.held.order_count,
        }
        _, rerun = await settle(client, batch_id, rerun_opening_of(f"{batch_id}-rerun", batch_id))
    assert rerun.totals.settled.order_count == 500
    report = await require_clean(systems, 1_500)
    assert report.settled == report.ledger == orders.settled


async def test_a_request_that_comes_after_its_poison_order_was_withdrawn_creates_nothing(
    client: Client, systems: Systems, pools: dict[str, Pool], batch_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first attempt's request is delayed on the wire. Meanwhile the chunk is closed without the poison order."""
    orders = await seed_orders(systems, 50, bad_rate=0)
    poison = orders.records[20]
    await pools["fund_platform"].execute(STOP_POSTINGS)
    await stop(pools["fund_platform"], "postings", [poison.order_id])
    gate = Gate(held_count_max=1)
    slow = replace(systems, fund_platform=held(systems.fund_platform, "post_credits", gate))
    async with running_worker(client, batch_id, slow):
        monkeypatch.setattr(limits, "HEARTBEAT_INTERVAL_S", 3_600)  # the first attempt will be presumed dead
        _, result = await settle(client, batch_id, opening_of(batch_id, chunk_size=50, window=1))
        await pools["fund_platform"].execute("DROP TRIGGER stop_postings ON postings")
        await gate.open()
    assert (result.totals.settled.order_count, result.totals.failed) == (49, planned_of([poison]))
    report = await require_clean(systems, 50)
    assert report.ledger == result.totals.settled
    life = await fetch_order_life(systems, poison.order_id)
    assert life.credit.answer
    assert (life.credit.answer.result_code, life.credit.postings) == (CreditResultCode.WITHDRAWN, [])


async def test_a_chunk_terminated_while_probed_is_unknown_and_its_rerun_fails_the_poison(
    client: Client, systems: Systems, pools: dict[str, Pool], batch_id: str
) -> None:
    orders = await seed_orders(systems, 50, bad_rate=0)
    poison = orders.records[20]
    await pools["fund_platform"].execute(STOP_POSTINGS)
    await stop(pools["fund_platform"], "postings", [poison.order_id])
    gate = Gate(held_count_max=1)
    slow = replace(
        systems,
        fund_platform=held(
            systems.fund_platform, "post_credits", gate, lambda _reference, requests: len(requests) < 20
        ),
    )
    async with running_worker(client, batch_id, slow):
        handle = await start_batch_workflow(client, batch_id, opening_of(batch_id, chunk_size=50, window=1))
        await gate.reached()
        await client.get_workflow_handle(chunk_workflow_id(batch_id, 0)).terminate("an operator's hand")
        result = await handle.result()
        await gate.open()
        assert (result.totals.held, await systems.store.batches.fetch_reason_counts(batch_id)) == (
            orders.planned,
            {ReasonCode.OUTCOME_UNKNOWN: 50},
        )
        assert (await require_clean(systems, 50)).unconfirmed.order_count > 0
        _, rerun = await settle(client, batch_id, rerun_opening_of(f"{batch_id}-rerun", batch_id))
    assert (rerun.totals.settled.order_count, rerun.totals.failed) == (49, planned_of([poison]))
    report = await require_clean(systems, 50)
    assert report.ledger == report.settled


async def test_a_step_that_fails_though_no_order_is_bad_alone_is_held_after_some_rounds(
    client: Client, systems: Systems, batch_id: str
) -> None:
    await seed_orders(systems, 50, bad_rate=0)

    async def fetch_records(order_ids: list[str]) -> object:
        if len(order_ids) == 50:
            raise DataError("so many at once")
        return await systems.order_center.fetch_records(order_ids)

    odd = replace(systems, order_center=replaced(systems.order_center, "fetch_records", fetch_records))
    opening = opening_of(batch_id, chunk_size=50, window=1)
    await freeze(systems, opening)
    await systems.store.batches.set_running(batch_id)
    async with running_worker(client, batch_id, odd):
        result = await (await start_chunk_by_hand(client, batch_id, opening, 0)).result()
    assert result.held.order_count == 50
    assert result.pause_reason
    assert "so many at once" in result.pause_reason
    assert await systems.store.batches.fetch_reason_counts(batch_id) == {ReasonCode.NOT_ATTEMPTED: 50}
    assert result.probe_count <= 2 * 7
