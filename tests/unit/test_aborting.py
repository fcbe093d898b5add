"""Only an abort that the store has lets the rest of a batch be held, whatever a payload asks for."""

from datetime import UTC, date, datetime

import pytest

from domain.errors import InvariantViolationError
from schemas.items import OfferedOrder
from schemas.wire.batches import BatchOpening, BatchSource
from schemas.wire.control import ControlAction, ControlRequest
from settling.aborting import hold_remaining_chunks
from tests.doubles.settlement_store import MemorySettlementStore
from tests.support.settlements import CALENDAR

OPENING = BatchOpening(
    batch_id="B1",
    source=BatchSource.MANUAL,
    business_date=date(2026, 11, 22),
    cutoff_at=datetime(2026, 11, 22, tzinfo=UTC),
    chunk_size=2,
    window=1,
)


async def hold_the_rest(store: MemorySettlementStore) -> int:
    totals = await hold_remaining_chunks(store, "B1", "why", on_slice=lambda: None)
    return totals.held.order_count


async def test_the_rest_is_held_only_once_the_store_has_an_abort() -> None:
    store = MemorySettlementStore()
    await store.filling.open_batch(OPENING)
    await store.filling.append_orders("B1", [OfferedOrder(f"o{n}", "a", 100, "USD") for n in range(5)])
    await store.filling.freeze_batch("B1", CALENDAR)
    await store.batches.set_running("B1")
    with pytest.raises(InvariantViolationError, match="B1: nobody has aborted it"):
        await hold_the_rest(store)
    assert (await store.batches.fetch_progress("B1")).held == 0
    await store.control.control_batch(
        ControlRequest(batch_id="B1", action=ControlAction.ABORT, requested_by="ann", reason="why")
    )
    assert await hold_the_rest(store) == 5
