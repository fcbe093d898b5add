"""Moving the items of batches past their retention out of the tables that settling works on."""

from collections.abc import AsyncGenerator, Callable
from datetime import timedelta
from enum import StrEnum
from typing import NamedTuple

from domain import limits
from fund_platform.port import FundPlatform
from schemas.batches import RetiredBatch
from settlement_store.port import SettlementStore
from settling.balancing import check_balance
from settling.reporting import fetch_kept_report, fetch_since_closing


class KeptBecause(StrEnum):
    """The reason why a batch past its retention keeps its items."""

    HELD = "held"
    RERUN_UNCLOSED = "rerun_unclosed"
    UNDELIVERED = "undelivered"
    OUT_OF_BALANCE = "out_of_balance"
    CAME_AGAIN = "came_again"
    """The order of an exception item is pending in a later batch."""
    CHANGED = "changed"
    """A rerun of the batch was opened, or a result became undelivered, during the check."""


class RetiredFate(NamedTuple):
    """A batch past its retention. If `kept_because` is None, it was pruned."""

    batch: RetiredBatch
    kept_because: KeptBecause | None


async def prune_batches(
    store: SettlementStore,
    fund_platform: FundPlatform,
    retention: timedelta,
    on_step: Callable[[RetiredBatch, int], None],
) -> AsyncGenerator[RetiredFate, None]:
    """Prune each batch that is past its retention and still balances, oldest first.

    It may be stopped and run again at any time. Claims, plans and totals stay, and each item keeps its payload and
    outcome.

    Args:
        store: holds the batches.
        fund_platform: holds the ledger, with which a batch must balance.
        retention: how long ago a batch was closed at least, by the store's clock.
        on_step: called after each step with the batch and the number of items that the step pruned.

    Yields:
        Each batch, once it is pruned or found to keep its items.
    """
    last: RetiredBatch | None = None
    while batches := await store.pruning.fetch_retired_batches(retention, last, limits.PRUNE_SLICE_BATCH_COUNT):
        for batch in batches:
            kept_because = _waits_for(batch) or await _begin_pruning(store, fund_platform, batch)
            if kept_because is None:
                while pruned_count := await store.pruning.prune_chunks(batch.batch_id):
                    on_step(batch, pruned_count)
            yield RetiredFate(batch, kept_because)
        last = batches[-1]


def _waits_for(batch: RetiredBatch) -> KeptBecause | None:
    if batch.held_count:
        return KeptBecause.HELD
    if batch.unclosed_rerun_count:
        return KeptBecause.RERUN_UNCLOSED
    return KeptBecause.UNDELIVERED if batch.undelivered_count else None


async def _begin_pruning(
    store: SettlementStore, fund_platform: FundPlatform, batch: RetiredBatch
) -> KeptBecause | None:
    """Mark the batch as being pruned if it still balances. Otherwise return why it keeps its items."""
    kept = await fetch_kept_report(store, batch.batch_id)
    if kept is None:
        return KeptBecause.OUT_OF_BALANCE
    if kept.is_being_pruned:
        return None
    report = await check_balance(store, fund_platform, batch.batch_id)
    since_closing = await fetch_since_closing(store, fund_platform, batch.batch_id)
    if report.balanced and since_closing.balanced and not report.pending.order_count:
        if since_closing.pending.order_count:
            return KeptBecause.CAME_AGAIN
        return None if await store.pruning.begin_pruning(batch.batch_id, since_closing) else KeptBecause.CHANGED
    # If another run began to prune the batch in the meantime, this check missed items.
    kept = await fetch_kept_report(store, batch.batch_id)
    return None if kept and kept.is_being_pruned else KeptBecause.OUT_OF_BALANCE
