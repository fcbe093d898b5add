"""Reconciliation: planned = settled + rejected + failed + held + pending, and ledger = settled + unconfirmed."""

from domain import limits
from domain.control_totals import sum_totals
from domain.identifiers import credit_key
from fund_platform.port import FundPlatform
from schemas.batches import BatchState, ControlTotals, ReconciliationReport
from schemas.reasons import Outcome
from settlement_store.port import SettlementStore

PENDING = "pending"


async def reconcile_batch(store: SettlementStore, fund_platform: FundPlatform, batch_id: str) -> ReconciliationReport:
    """Sum a batch from its stored plan, from its items and from the ledger, and hold the three together.

    Reads only, in bounded slices. While a batch runs, items are read after the ledger slice by slice, so that
    a credit made meanwhile is seen as unconfirmed at worst.

    Raises:
        BatchNotFoundError: no batch has this id.
    """
    batch = await store.fetch_batch(batch_id)
    settled_in_ledger, unconfirmed, unexplained = await _fetch_ledger_totals(
        store, fund_platform, batch_id, batch.item_count
    )
    planned = await store.fetch_planned_totals(batch_id)
    items = await store.fetch_item_totals(batch_id)
    nothing = ControlTotals()
    settled = items.get(Outcome.SETTLED, nothing)
    rejected = items.get(Outcome.REJECTED, nothing)
    failed = items.get(Outcome.FAILED, nothing)
    held = items.get(Outcome.HELD, nothing)
    pending = items.get(PENDING, nothing)
    ledger = sum_totals([settled_in_ledger, unconfirmed, unexplained])
    progress = await store.fetch_progress(batch_id)
    return ReconciliationReport(
        batch_id=batch_id,
        source=batch.source,
        state=batch.state,
        business_date=batch.business_date,
        planned=planned,
        settled=settled,
        rejected=rejected,
        failed=failed,
        held=held,
        pending=pending,
        unconfirmed=unconfirmed,
        ledger=ledger,
        duplicates=batch.duplicate_count,
        conflicts=batch.conflict_count,
        balanced=(
            planned == sum_totals([settled, rejected, failed, held, pending])
            and ledger == sum_totals([settled, unconfirmed])
        ),
        reasons=await store.fetch_reason_counts(batch_id),
        chunks=progress.chunk_count,
        started_at=batch.started_at,
        closed_at=batch.closed_at,
    )


async def _fetch_ledger_totals(
    store: SettlementStore, fund_platform: FundPlatform, batch_id: str, item_count: int
) -> tuple[ControlTotals, ControlTotals, ControlTotals]:
    """The credits of settled items, of pending and held ones, and of rejected or failed ones (there are none)."""
    settled: list[ControlTotals] = []
    unconfirmed: list[ControlTotals] = []
    unexplained: list[ControlTotals] = []
    kind_by_outcome = {Outcome.SETTLED: settled, Outcome.HELD: unconfirmed, PENDING: unconfirmed}
    for item_start in range(0, item_count, limits.RECONCILE_SLICE_ITEM_COUNT):
        latest = await store.fetch_latest_orders(batch_id, item_start, item_start + limits.RECONCILE_SLICE_ITEM_COUNT)
        for outcome, order_ids in latest.items():
            credited = await fund_platform.fetch_credit_totals([credit_key(order_id) for order_id in order_ids])
            kind_by_outcome.get(outcome, unexplained).append(credited)
    return sum_totals(settled), sum_totals(unconfirmed), sum_totals(unexplained)


def is_final(state: BatchState) -> bool:
    """Whether a batch is over."""
    return state in (BatchState.CLOSED, BatchState.OUT_OF_BALANCE)
