"""The contract of the settlement store's port for the outbox and relays' leases."""

import asyncio
from collections import Counter
from datetime import timedelta

import pytest

from domain.identifiers import result_bucket
from domain.limits import RESULT_BUCKET_COUNT
from schemas.items import RerunItem
from schemas.outbox import OutboxRow, StoredOutcome
from schemas.wire.batches import BatchSource, RerunSelection
from schemas.wire.reasons import Outcome
from settlement_store.port import SettlementStore
from settling.reporting import fetch_since_closing
from tests.contract.settlement_batches import (
    close_batch,
    deliver_all,
    failed,
    held,
    opening_of,
    orders_of,
    rejected,
    run_batch,
    run_chunk,
    settle,
)
from tests.doubles.fund_platform import MemoryFundPlatform
from tests.support.settlements import CALENDAR, eventually

ALL_BUCKETS = frozenset(range(RESULT_BUCKET_COUNT))
LEASE_S = 60
SHORT_LEASE_S = 0.05
ORDER_IDS = [f"O{n}" for n in range(5)]


async def read_row(store: SettlementStore) -> OutboxRow:
    row = await store.outbox.fetch_outbox_row(ALL_BUCKETS)
    assert row
    return row


async def read_outcomes(store: SettlementStore, row: OutboxRow) -> dict[str, tuple[str, str | None]]:
    found = await store.outbox.fetch_outcomes(row, ALL_BUCKETS, row.item_start, row.item_end)
    return {each.order_id: (each.outcome, each.reason_code) for each in found}


async def lose_lease(store: SettlementStore, relay_id: str) -> None:
    """Let a relay's lease expire, and let another relay take all its buckets."""
    await store.outbox.lease_buckets(relay_id, SHORT_LEASE_S)

    async def is_taken() -> bool:
        return await store.outbox.lease_buckets("rival", LEASE_S) == ALL_BUCKETS

    assert await eventually(is_taken)


async def test_each_step_has_a_row_with_exactly_the_outcomes_that_it_stored(store: SettlementStore) -> None:
    await run_chunk(store, orders_of(*ORDER_IDS))
    await store.chunks.store_validation("B1", 0, [rejected(1)])
    validated = await read_row(store)
    assert (validated.batch_id, validated.item_start, validated.item_end, validated.step) == ("B1", 0, 5, "validated")
    await store.chunks.store_outcomes("B1", 0, [failed(0), held(3)])
    assert await read_outcomes(store, validated) == {"O1": ("rejected", "ORDER_DISPUTED")}
    await store.outbox.lease_buckets("R1", LEASE_S)
    await store.outbox.mark_delivered("R1", validated.outbox_no, ALL_BUCKETS)
    closed = await read_row(store)
    assert (closed.batch_id, closed.item_start, closed.item_end, closed.step) == ("B1", 0, 5, "closed")
    assert await read_outcomes(store, closed) == {
        "O0": ("failed", "DATA_ERROR"),
        "O2": ("settled", None),
        "O3": ("held", "PAYLOAD_CONFLICT"),
        "O4": ("settled", None),
    }


async def test_an_outcome_has_its_items_payload_and_claim_number(store: SettlementStore) -> None:
    await settle(store, ["O1"], "B1", rejects=[rejected(0)])
    await settle(store, ["O1"], "B2")
    payload = ("O1", "A1", 100, "USD")
    assert await deliver_all(store) == [
        StoredOutcome(*payload, 1, Outcome.REJECTED, "ORDER_DISPUTED"),
        StoredOutcome(*payload, 2, Outcome.SETTLED, None),
    ]


async def test_a_held_chunk_has_a_row(store: SettlementStore) -> None:
    await run_chunk(store, orders_of("O1"))
    await store.chunks.hold_chunk("B1", 0, "a test")
    row = await read_row(store)
    assert await read_outcomes(store, row) == {"O1": ("held", "NOT_ATTEMPTED")}
    assert row.stored_at == (await store.orders.fetch_items_of_order("O1"))[0].stored_at


async def test_a_step_that_stored_no_outcome_or_lost_has_no_row(store: SettlementStore) -> None:
    await run_chunk(store, orders_of("O1"))
    await store.chunks.store_validation("B1", 0, [])
    assert await store.outbox.fetch_outbox_row(ALL_BUCKETS) is None
    for _ in range(2):
        await store.chunks.store_validation("B1", 0, [rejected(0)])
        await store.chunks.store_outcomes("B1", 0, [])
        await store.chunks.hold_chunk("B1", 0, "late")
    assert [each.outcome for each in await deliver_all(store)] == ["settled"]


async def test_slices_of_a_row_give_each_outcome_once(store: SettlementStore) -> None:
    await run_chunk(store, orders_of(*ORDER_IDS))
    await store.chunks.store_validation("B1", 0, [])
    await store.chunks.store_outcomes("B1", 0, [held(2)])
    row = await read_row(store)
    slices = [await store.outbox.fetch_outcomes(row, ALL_BUCKETS, start, min(start + 2, 5)) for start in (0, 2, 4)]
    assert [[each.order_id for each in found] for found in slices] == [["O0", "O1"], ["O2", "O3"], ["O4"]]


async def test_an_orders_bucket_is_the_same_in_the_store_and_in_python(store: SettlementStore) -> None:
    order_ids = [*(f"order {n:04d}" for n in range(90)), "Zoë", "订单-7", "😀", "back\\slash", "x" * 64]
    await settle(store, order_ids, "B1")
    row = await read_row(store)
    found = {
        each.order_id: bucket
        for bucket in ALL_BUCKETS
        for each in await store.outbox.fetch_outcomes(row, [bucket], row.item_start, row.item_end)
    }
    assert found == {order_id: result_bucket(order_id) for order_id in order_ids}


async def test_rows_come_in_the_order_of_an_orders_outcomes_also_when_marked_by_several(
    store: SettlementStore,
) -> None:
    for batch_id in ("B1", "B2", "B3"):
        await settle(store, ORDER_IDS, batch_id, rejects=[rejected(n) for n in range(5)])
    first = await store.outbox.lease_buckets("R1", LEASE_S)
    second = await store.outbox.lease_buckets("R2", LEASE_S)
    first = await store.outbox.lease_buckets("R1", LEASE_S)
    second = await store.outbox.lease_buckets("R2", LEASE_S)
    outcome_nos: dict[str, list[int]] = {}
    for _ in range(6):  # each batch has two rows, one for each step
        for relay_id, buckets in (("R1", first), ("R2", second), ("R2", second)):
            row = await store.outbox.fetch_outbox_row(buckets)
            if row:
                assert row.buckets == buckets
                for each in await store.outbox.fetch_outcomes(row, buckets, row.item_start, row.item_end):
                    outcome_nos.setdefault(each.order_id, []).append(each.claim_no)
                assert await store.outbox.mark_delivered(relay_id, row.outbox_no, buckets) == buckets
    assert outcome_nos == {order_id: [1, 2, 3] for order_id in ORDER_IDS}
    assert await store.outbox.fetch_outbox_row(ALL_BUCKETS) is None


async def test_live_relays_share_the_buckets(store: SettlementStore) -> None:
    assert await store.outbox.lease_buckets("R1", LEASE_S) == ALL_BUCKETS
    assert await store.outbox.lease_buckets("R2", LEASE_S) == frozenset()
    first = await store.outbox.lease_buckets("R1", LEASE_S)
    second = await store.outbox.lease_buckets("R2", LEASE_S)
    assert (len(first), len(second), first | second) == (8, 8, ALL_BUCKETS)
    await store.outbox.release_buckets("R1")
    await store.outbox.release_buckets("R1")
    assert await store.outbox.lease_buckets("R2", LEASE_S) == ALL_BUCKETS


async def test_relays_that_ask_at_once_never_hold_the_same_bucket(store: SettlementStore) -> None:
    relay_ids = [f"R{n}" for n in range(5)]
    for _ in range(3):
        held_by = await asyncio.gather(*(store.outbox.lease_buckets(relay_id, LEASE_S) for relay_id in relay_ids))
    assert Counter(bucket for buckets in held_by for bucket in buckets) == dict.fromkeys(ALL_BUCKETS, 1)


async def test_a_lease_that_expired_goes_to_another_and_its_relay_marks_nothing(store: SettlementStore) -> None:
    await settle(store, ORDER_IDS, "B1")
    row = await read_row(store)
    await lose_lease(store, "R1")
    assert await store.outbox.mark_delivered("R1", row.outbox_no, ALL_BUCKETS) == frozenset()
    assert await store.outbox.fetch_outbox_row(ALL_BUCKETS) == row
    assert await store.outbox.mark_delivered("rival", row.outbox_no, ALL_BUCKETS) == ALL_BUCKETS
    assert await store.outbox.fetch_outbox_row(ALL_BUCKETS) is None


async def test_a_relay_whose_lease_expired_marks_nothing_even_if_nobody_took_it(store: SettlementStore) -> None:
    await settle(store, ORDER_IDS, "B1")
    row = await read_row(store)
    assert await store.outbox.lease_buckets("R1", 0) == ALL_BUCKETS
    assert await store.outbox.mark_delivered("R1", row.outbox_no, ALL_BUCKETS) == frozenset()
    assert await store.outbox.lease_buckets("R1", LEASE_S) == ALL_BUCKETS
    assert await store.outbox.mark_delivered("R1", row.outbox_no, ALL_BUCKETS) == ALL_BUCKETS


async def test_only_buckets_that_are_still_held_are_marked(store: SettlementStore) -> None:
    await settle(store, ORDER_IDS, "B1")
    row = await read_row(store)
    await store.outbox.lease_buckets("R1", LEASE_S)
    await store.outbox.lease_buckets("R2", LEASE_S)
    kept = await store.outbox.lease_buckets("R1", LEASE_S)
    assert await store.outbox.mark_delivered("R1", row.outbox_no, ALL_BUCKETS) == kept
    assert await store.outbox.fetch_outbox_row(ALL_BUCKETS) == row._replace(buckets=ALL_BUCKETS - kept)
    assert await store.outbox.fetch_outbox_row(kept) is None


async def test_marking_a_row_that_is_delivered_does_nothing(store: SettlementStore) -> None:
    await settle(store, ["O1"], "B1")
    row = await read_row(store)
    await store.outbox.lease_buckets("R1", LEASE_S)
    await store.outbox.mark_delivered("R1", row.outbox_no, ALL_BUCKETS)
    assert await store.outbox.mark_delivered("R1", row.outbox_no, ALL_BUCKETS) == frozenset()


async def test_relays_that_mark_their_buckets_at_once_leave_no_row_behind(store: SettlementStore) -> None:
    relay_ids = [f"R{n}" for n in range(4)]
    await settle(store, ORDER_IDS, "B1")
    row = await read_row(store)
    for _ in range(2):
        leases = [await store.outbox.lease_buckets(relay_id, LEASE_S) for relay_id in relay_ids]
    await asyncio.gather(
        *(
            store.outbox.mark_delivered(relay_id, row.outbox_no, buckets)
            for relay_id, buckets in zip(relay_ids, leases, strict=True)
        )
    )
    assert await store.outbox.fetch_outbox_row(ALL_BUCKETS) is None


async def test_a_rerun_tells_a_second_outcome_of_the_same_order(store: SettlementStore) -> None:
    await settle(store, ["O1"], "B1", exceptions=[held(0)])
    await close_batch(store, "B1")
    selection = RerunSelection(batch_id="B1", outcomes=("held",))
    rerun = opening_of("B2", source=BatchSource.RERUN, rerun=selection)
    await store.filling.open_batch(rerun)
    await store.filling.append_rerun_items("B2", [RerunItem("O1", 1, "A1", 100, "USD", inherits_unknown=False)])
    await store.filling.freeze_batch("B2", CALENDAR)
    await store.batches.set_running("B2")
    await store.chunks.store_validation("B2", 0, [])
    await store.chunks.store_outcomes("B2", 0, [])
    assert [(each.claim_no, each.outcome) for each in await deliver_all(store)] == [(1, "held"), (2, "settled")]


@pytest.mark.parametrize("marked_count", [0, RESULT_BUCKET_COUNT - 1])
async def test_a_batch_whose_results_are_not_delivered_is_not_pruned(store: SettlementStore, marked_count: int) -> None:
    await run_batch(store, orders_of("O1"), batch_id="B1")
    await store.chunks.store_validation("B1", 0, [])
    await store.chunks.store_outcomes("B1", 0, [])
    closed_at = (await close_batch(store, "B1")).closed_at
    assert closed_at
    await store.outbox.lease_buckets("R1", LEASE_S)
    await store.outbox.mark_delivered("R1", (await read_row(store)).outbox_no, list(range(marked_count)))
    since_closing = await fetch_since_closing(store, MemoryFundPlatform(), "B1")
    (retired,) = await store.pruning.fetch_retired_batches(timedelta(0), None, 10)
    assert retired.undelivered_count == 1
    assert not await store.pruning.begin_pruning("B1", since_closing)
    await store.outbox.release_buckets("R1")
    await deliver_all(store)
    (retired,) = await store.pruning.fetch_retired_batches(timedelta(0), None, 10)
    assert retired.undelivered_count == 0
    assert await store.pruning.begin_pruning("B1", since_closing)
