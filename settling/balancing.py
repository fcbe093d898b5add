"""The balance check: planned = settled + rejected + failed + held + pending, and ledger = settled + unconfirmed."""

from collections import defaultdict
from itertools import chain

from domain import limits
from domain.control_totals import sum_totals, totals_of
from domain.errors import InvariantViolationError
from domain.identifiers import credit_key
from fund_platform.port import FundPlatform
from schemas.item_outcomes import PENDING, ItemOutcome
from schemas.wire.batches import FINAL_STATES, BatchState
from schemas.wire.reasons import RELEASING_OUTCOMES, Outcome
from schemas.wire.reports import BatchReport
from schemas.wire.totals import ControlTotals
from settlement_store.port import SettlementStore
from settling.side_by_side import run_side_by_side


async def check_balance(store: SettlementStore, fund_platform: FundPlatform, batch_id: str) -> BatchReport:
    """Sum a batch from its stored plan, from its items and from the ledger, and compare the three sums.

    It only reads, in bounded slices. In each slice it reads the ledger after the items, so both equations also hold
    while the batch runs: a settled item has its credit by then, and a newer credit counts as unconfirmed.

    If the batch is being pruned, this check misses items. `reporting.fetch_report` reads the kept report instead.

    Raises:
        BatchNotFoundError: no batch has this id.
    """
    batch = await store.batches.fetch_batch(batch_id)
    items: defaultdict[str, list[ControlTotals]] = defaultdict(list)
    ledger: defaultdict[str, list[ControlTotals]] = defaultdict(list)
    starts = iter(range(0, batch.item_count, limits.BALANCE_SLICE_ITEM_COUNT))

    async def sum_slices() -> None:
        for start in starts:
            for outcome, items_total, ledger_total in await _sum_slice(store, fund_platform, batch_id, start):
                items[outcome].append(items_total)
                ledger[outcome].append(ledger_total)

    await run_side_by_side([sum_slices] * limits.BALANCE_SLICES_AT_A_TIME)
    by_outcome = {outcome: sum_totals(items[outcome]) for outcome in (*Outcome, PENDING)}
    # An open batch has no plan yet and grows while it is read, so its plan is the sum of what was read.
    planned = (
        sum_totals(by_outcome.values())
        if batch.state == BatchState.OPEN
        else await store.batches.fetch_planned_totals(batch_id)
    )
    unconfirmed = sum_totals([*ledger[PENDING], *ledger[Outcome.HELD]])
    in_ledger = sum_totals(chain.from_iterable(ledger.values()))
    progress = await store.batches.fetch_progress(batch_id)
    return BatchReport(
        batch_id=batch_id,
        source=batch.source,
        state=batch.state,
        business_date=batch.business_date,
        rerun_of=batch.rerun.batch_id if batch.rerun else None,
        planned=planned,
        settled=by_outcome[Outcome.SETTLED],
        rejected=by_outcome[Outcome.REJECTED],
        failed=by_outcome[Outcome.FAILED],
        held=by_outcome[Outcome.HELD],
        pending=by_outcome[PENDING],
        unconfirmed=unconfirmed,
        ledger=in_ledger,
        duplicates=batch.duplicate_count,
        conflicts=batch.conflict_count,
        balanced=(
            planned == sum_totals(by_outcome.values())
            and in_ledger == sum_totals([by_outcome[Outcome.SETTLED], unconfirmed])
        ),
        reasons=await store.batches.fetch_reason_counts(batch_id),
        chunks=progress.chunk_count,
        started_at=batch.started_at,
        closed_at=batch.closed_at,
    )


async def close_batch(store: SettlementStore, fund_platform: FundPlatform, batch_id: str) -> BatchState:
    """Check a batch whose chunks are all closed, store its report and set its final state. Idempotent.

    All chunks are closed, so an item that is still pending belongs to no chunk. The batch is then out of balance.

    Returns:
        The final state.

    Raises:
        BatchNotFoundError: no batch has this id.
        InvariantViolationError: the batch is not running, or a chunk is not closed.
    """
    progress = await store.batches.fetch_progress(batch_id)
    if progress.state in FINAL_STATES:
        return progress.state
    # Check this before summing: a chunk that is closed during the sums would be stored in the report as pending.
    if progress.chunk_closed_count < progress.chunk_count:
        raise InvariantViolationError(
            f"Batch {batch_id} cannot be closed: its state is {progress.state}, and "
            f"{progress.chunk_count - progress.chunk_closed_count:,} of its {progress.chunk_count:,} chunks are not "
            "closed. Nothing was stored. Look at the batch's workflow in the Temporal web UI."
        )
    report = await check_balance(store, fund_platform, batch_id)
    is_complete = report.pending.order_count == 0
    report = report.model_copy(update={"balanced": report.balanced and is_complete})
    return (await store.batches.close_batch(report)).state


_SliceTotals = list[tuple[ItemOutcome, ControlTotals, ControlTotals]]


async def _sum_slice(
    store: SettlementStore, fund_platform: FundPlatform, batch_id: str, item_start: int
) -> _SliceTotals:
    """Return the totals of a slice's items and of their credits, for each outcome.

    Only an item that is its order's latest counts a credit. If a rejected or failed item has a credit, the slice is
    read again, at most `limits.BALANCE_READ_COUNT_MAX` times in all: after the items were read and before the ledger
    was, another batch may have taken and credited the order.
    """
    totals: _SliceTotals = []
    for _ in range(limits.BALANCE_READ_COUNT_MAX):
        totals = await _sum_slice_once(store, fund_platform, batch_id, item_start)
        if not any(credited.order_count for outcome, _, credited in totals if outcome in RELEASING_OUTCOMES):
            break
    return totals


async def _sum_slice_once(
    store: SettlementStore, fund_platform: FundPlatform, batch_id: str, item_start: int
) -> _SliceTotals:
    groups = await store.chunks.fetch_item_groups(batch_id, item_start, item_start + limits.BALANCE_SLICE_ITEM_COUNT)
    totals = []
    for outcome in sorted({group.outcome for group in groups}):
        of_outcome = [group for group in groups if group.outcome == outcome]
        keys = [credit_key(order_id) for group in of_outcome if group.is_latest for order_id in group.order_ids]
        in_items = totals_of((group.currency, len(group.order_ids), group.amount_minor) for group in of_outcome)
        totals.append((outcome, in_items, await fund_platform.credits.fetch_credit_totals(keys)))
    return totals
