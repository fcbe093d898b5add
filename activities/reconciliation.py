"""Reconciliation: planned = settled + rejected + failed + held + pending, and ledger = settled + unconfirmed."""

from collections import defaultdict
from collections.abc import AsyncIterator

from domain import limits
from domain.control_totals import sum_totals, totals_of
from domain.identifiers import credit_key
from fund_platform.port import FundPlatform
from schemas.batches import ControlTotals, ItemGroup, ReconciliationReport
from schemas.reasons import Outcome
from settlement_store.port import SettlementStore

PENDING = "pending"
_UNCONFIRMED_OUTCOMES = {PENDING, Outcome.HELD}


async def reconcile_batch(store: SettlementStore, fund_platform: FundPlatform, batch_id: str) -> ReconciliationReport:
    """Sum a batch from its stored plan, from its items and from the ledger, and hold the three together.

    Reads only, in bounded slices. In each slice the ledger is read after the items, so both equations hold
    while the batch runs too: what is settled has its credit by then, and a newer credit is unconfirmed.

    Raises:
        BatchNotFoundError: no batch has this id.
    """
    batch = await store.fetch_batch(batch_id)
    items: defaultdict[str, list[ControlTotals]] = defaultdict(list)
    unconfirmed: list[ControlTotals] = []
    ledger: list[ControlTotals] = []
    async for group in _fetch_item_groups(store, batch_id, batch.item_count):
        items[group.outcome].append(totals_of([(group.currency, len(group.order_ids), group.amount_minor)]))
        if group.is_latest:
            credited = await fund_platform.fetch_credit_totals([credit_key(order_id) for order_id in group.order_ids])
            ledger.append(credited)
            if group.outcome in _UNCONFIRMED_OUTCOMES:
                unconfirmed.append(credited)
    planned = await store.fetch_planned_totals(batch_id)
    by_outcome = {outcome: sum_totals(items[outcome]) for outcome in (*Outcome, PENDING)}
    progress = await store.fetch_progress(batch_id)
    return ReconciliationReport(
        batch_id=batch_id,
        source=batch.source,
        state=batch.state,
        business_date=batch.business_date,
        planned=planned,
        settled=by_outcome[Outcome.SETTLED],
        rejected=by_outcome[Outcome.REJECTED],
        failed=by_outcome[Outcome.FAILED],
        held=by_outcome[Outcome.HELD],
        pending=by_outcome[PENDING],
        unconfirmed=sum_totals(unconfirmed),
        ledger=sum_totals(ledger),
        duplicates=batch.duplicate_count,
        conflicts=batch.conflict_count,
        balanced=(
            planned == sum_totals(by_outcome.values())
            and sum_totals(ledger) == sum_totals([by_outcome[Outcome.SETTLED], *unconfirmed])
        ),
        reasons=await store.fetch_reason_counts(batch_id),
        chunks=progress.chunk_count,
        started_at=batch.started_at,
        closed_at=batch.closed_at,
    )


async def _fetch_item_groups(store: SettlementStore, batch_id: str, item_count: int) -> AsyncIterator[ItemGroup]:
    for item_start in range(0, item_count, limits.RECONCILE_SLICE_ITEM_COUNT):
        item_end = item_start + limits.RECONCILE_SLICE_ITEM_COUNT
        for group in await store.fetch_item_groups(batch_id, item_start, item_end):
            yield group
