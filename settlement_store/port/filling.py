"""Filling batches, a part of the settlement store's contract: opening, appending, freezing."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

from domain import limits
from domain.business_days import BusinessCalendar
from domain.errors import BatchPrunedError, CutoffAheadError, UnavailableError
from schemas.batches import AppendResult, Batch
from schemas.items import OfferedOrder, RerunItem, StoredException
from schemas.next_steps import NextStep, NextStepKind
from schemas.wire.batches import BatchOpening

_CUTOFF_AHEAD_MAX = timedelta(seconds=limits.CUTOFF_AHEAD_S_MAX)


class Filling(Protocol):
    """Opening batches, appending items to them, and freezing them."""

    async def open_batch(self, opening: BatchOpening) -> Batch:
        """Store a new, empty batch, or return the one that has this id. Idempotent.

        If the opening leaves the business date or the cutoff to freezing, the stored batch may have any.

        Raises:
            BatchMismatchError: the stored batch has other parameters.
            CutoffAheadError: the batch is new, and its cutoff is more than `limits.CUTOFF_AHEAD_S_MAX` after the
                store's clock.
            BatchPrunedError: the batch is new and reruns a batch that is pruned or being pruned.
            TooManyBatchesError: the batch is new, and `limits.UNCLOSED_BATCH_COUNT_MAX` batches are in no final state.
        """

    async def append_orders(self, batch_id: str, orders: Sequence[OfferedOrder]) -> AppendResult:
        """Claim and append those of the orders that have no live item; count duplicates and conflicts.

        Atomic, under the batch's row lock. New items get the next item numbers without a gap, in order_id order, and
        their order's next claim number. Of an order's conflicting offers to one batch, the first is kept for
        `fetch_conflicts_of_order`.

        Args:
            batch_id: an open batch.
            orders: each order once, at most `limits.FREEZE_SLICE_ORDER_COUNT`.

        Raises:
            BatchNotFoundError: no batch has this id.
            BatchNotOpenError: the batch is no longer open; nothing was written.
            ValueError: an order is given twice, or there are too many.
        """

    async def fetch_exceptions(self, batch_id: str, after_item_no: int, item_count_max: int) -> list[StoredException]:
        """Read the next exception items of a batch that are not pruned, in item_no order, by one indexed read.

        Args:
            batch_id: the items' batch.
            after_item_no: the last item number of the previous slice; -1 for the first slice.
            item_count_max: the slice's bound.

        Raises:
            BatchNotFoundError: no batch has this id.
        """

    async def append_rerun_items(self, batch_id: str, items: Sequence[RerunItem]) -> frozenset[str]:
        """Append orders whose earlier item has an exception outcome, and give their claims to the new items.

        Atomic, under the batch's row lock. An order is taken by compare-and-set, only if the item with the given claim
        number is still its latest. New items get the next item numbers without a gap, in order_id order, and the next
        claim number.

        Args:
            batch_id: an open batch.
            items: each order once, at most `limits.FREEZE_SLICE_ORDER_COUNT`, made from `fetch_exceptions`.

        Returns:
            The orders that were taken.

        Raises:
            BatchNotFoundError: no batch has this id.
            BatchNotOpenError: the batch is no longer open; nothing was written.
            ValueError: an order is given twice, or there are too many.
        """

    async def freeze_batch(self, batch_id: str, calendar: BusinessCalendar) -> None:
        """Fix the plan (control totals, chunks) of an open batch and freeze it. A frozen batch does not change.

        A batch that was opened without a cutoff gets the database's time as its cutoff. A batch that was opened without
        a business date gets the latest one at that time. No batch is frozen before its cutoff, by the store's clock.

        Raises:
            BatchNotFoundError: no batch has this id.
            UnavailableError: the store's clock will reach the cutoff within `limits.CUTOFF_AHEAD_S_MAX`.
            CutoffAheadError: the cutoff is later than that.
        """


def is_opened_as(batch: Batch, opening: BatchOpening) -> bool:
    """Return whether a stored batch is the one that the opening asks for; every adapter's `open_batch` calls this."""
    left_to_freezing = {name for name in ("business_date", "cutoff_at") if getattr(opening, name) is None}
    fields = set(BatchOpening.model_fields) - left_to_freezing
    return batch.model_dump(include=fields) == opening.model_dump(include=fields)


def check_opening(opening: BatchOpening, now: datetime) -> None:
    """Refuse to open a batch too long before its cutoff; every adapter's `open_batch` calls this for a new batch.

    Args:
        opening: the batch.
        now: the store's clock.

    Raises:
        CutoffAheadError: see `Filling.open_batch`.
    """
    if opening.cutoff_at and opening.cutoff_at - now > _CUTOFF_AHEAD_MAX:
        raise CutoffAheadError(_cutoff_ahead_text(opening.batch_id, "opened", opening.cutoff_at, now))


def check_cutoff(batch_id: str, cutoff_at: datetime | None, now: datetime) -> None:
    """Refuse to freeze a batch before its cutoff; every adapter's `freeze_batch` calls this.

    Args:
        batch_id: an open batch.
        cutoff_at: its cutoff, None if freezing sets it.
        now: the store's clock.

    Raises:
        UnavailableError, CutoffAheadError: see `Filling.freeze_batch`.
    """
    if cutoff_at and cutoff_at > now:
        error = UnavailableError if cutoff_at - now <= _CUTOFF_AHEAD_MAX else CutoffAheadError
        raise error(_cutoff_ahead_text(batch_id, "frozen", cutoff_at, now))


def _cutoff_ahead_text(batch_id: str, action: str, cutoff_at: datetime, now: datetime) -> str:
    return (
        f"Batch {batch_id} was not {action}: its cutoff {cutoff_at:%Y-%m-%d %H:%M:%S} UTC is in the future. The "
        f"settlement store's clock shows {now:%Y-%m-%d %H:%M:%S} UTC. Choose an earlier business date, or correct the "
        "clock that is wrong."
    )


def batch_pruned(batch_id: str) -> BatchPrunedError:
    """Return the error for a rerun of a pruned batch."""
    return BatchPrunedError(
        f"Batch {batch_id} cannot be rerun: it is past its retention and is pruned or being pruned. An order that it "
        "rejected is offered again when its record changes.",
        NextStep(kind=NextStepKind.REPAIR_RECORD),
    )


def check_offers(order_ids: Sequence[str]) -> None:
    """Refuse offers that `append_orders` and `append_rerun_items` do not accept; every adapter calls this first.

    Raises:
        ValueError: see `Filling.append_orders`.
    """
    if len(order_ids) > limits.FREEZE_SLICE_ORDER_COUNT:
        raise ValueError(
            f"{len(order_ids)} orders were offered in one call; the limit is {limits.FREEZE_SLICE_ORDER_COUNT}."
        )
    if len(set(order_ids)) < len(order_ids):
        raise ValueError("An order was offered twice in one call. Offer each order once.")
