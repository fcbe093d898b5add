"""A batch's report. It is computed until the batch is closed. After that, the kept report is read from the store.

"What came since" is added to a kept report: the later outcomes and credits of the batch's exception items.
"""

from collections import defaultdict

from domain import limits
from domain.control_totals import sum_totals, totals_of
from domain.identifiers import credit_key
from fund_platform.port import FundPlatform
from schemas.batches import KeptReport
from schemas.item_outcomes import PENDING
from schemas.items import LaterItemGroup
from schemas.wire.reasons import RELEASING_OUTCOMES, Outcome
from schemas.wire.reports import BatchReport, SinceClosing
from schemas.wire.totals import ControlTotals
from settlement_store.port import SettlementStore
from settling.balancing import check_balance


async def fetch_report(store: SettlementStore, fund_platform: FundPlatform, batch_id: str) -> BatchReport:
    """Return the kept report of a closed batch, with what came since, or the balance check of any other batch.

    Computing what came since takes time in proportion to the batch's exception items only. If the batch is being
    pruned, the stored one is returned, which was computed when its pruning began.

    Raises:
        BatchNotFoundError: no batch has this id.
    """
    kept = await fetch_kept_report(store, batch_id)
    if kept is None:
        report = await check_balance(store, fund_platform, batch_id)
        # If the batch was closed and pruned in the meantime, the check may have missed items.
        kept = await fetch_kept_report(store, batch_id)
        if kept is None:
            return report
    since_closing = kept.since_closing
    if since_closing is None:
        since_closing = await fetch_since_closing(store, fund_platform, batch_id)
        # If pruning began in the meantime, the sums may have missed exception items.
        kept = await fetch_kept_report(store, batch_id) or kept
        since_closing = kept.since_closing or since_closing
    return kept.report.model_copy(update={"since_closing": since_closing})


async def fetch_kept_report(store: SettlementStore, batch_id: str) -> KeptReport | None:
    """Return the report that was kept when the batch closed. None if it is not closed or does not exist."""
    return (await store.reports.fetch_kept_reports([batch_id])).get(batch_id)


async def fetch_since_closing(store: SettlementStore, fund_platform: FundPlatform, batch_id: str) -> SinceClosing:
    """Sum the later outcomes of a closed batch's exception items, from their orders' latest items and the ledger.

    It reads in bounded slices, the ledger after the items.

    Raises:
        BatchNotFoundError: no batch has this id.
    """
    items: defaultdict[str, list[ControlTotals]] = defaultdict(list)
    ledger: defaultdict[str, list[ControlTotals]] = defaultdict(list)
    item_no = -1
    while slice_ := await _sum_slice(store, fund_platform, batch_id, item_no):
        for group, credited in slice_:
            ledger[group.outcome].append(credited)
            if group.came_again:
                items[group.outcome].append(totals_of([(group.currency, len(group.order_ids), group.amount_minor)]))
        item_no = max(group.item_no_last for group, _ in slice_)
    by_outcome = {outcome: sum_totals(items[outcome]) for outcome in (*Outcome, PENDING)}
    unconfirmed = sum_totals([*ledger[PENDING], *ledger[Outcome.HELD]])
    in_ledger = sum_totals(total for totals in ledger.values() for total in totals)
    return SinceClosing(
        rerun_batch_ids=tuple(await store.reports.fetch_rerun_ids(batch_id, limits.BATCH_LIST_COUNT_MAX)),
        **by_outcome,
        unconfirmed=unconfirmed,
        ledger=in_ledger,
        balanced=in_ledger == sum_totals([by_outcome[Outcome.SETTLED], unconfirmed]),
    )


async def _sum_slice(
    store: SettlementStore, fund_platform: FundPlatform, batch_id: str, after_item_no: int
) -> list[tuple[LaterItemGroup, ControlTotals]]:
    """Return a slice's groups, each with the totals of its orders' credits.

    If an order has a credit although its latest item is rejected or failed, the slice is read again, at most
    `limits.BALANCE_READ_COUNT_MAX` times in all: after the items were read and before the ledger was, another batch may
    have taken and credited the order.
    """
    found: list[tuple[LaterItemGroup, ControlTotals]] = []
    for _ in range(limits.BALANCE_READ_COUNT_MAX):
        groups = await store.reports.fetch_later_item_groups(batch_id, after_item_no, limits.BALANCE_SLICE_ITEM_COUNT)
        found = [
            (group, await fund_platform.credits.fetch_credit_totals([credit_key(each) for each in group.order_ids]))
            for group in groups
        ]
        if not any(credited.order_count for group, credited in found if group.outcome in RELEASING_OUTCOMES):
            break
    return found
