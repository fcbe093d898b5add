"""Pruning, a part of the settlement store's contract: batches past their retention, and their kept reports."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from domain.errors import InvariantViolationError
from schemas.batches import BatchReport, RetiredBatch


class Pruning(Protocol):
    """Moving the items of old batches away."""

    async def fetch_retired_batches(
        self, closed_before: datetime, after: RetiredBatch | None, batch_count_max: int
    ) -> Sequence[RetiredBatch]:
        """Read the next closed or aborted batches that were closed before a time and are not pruned yet, oldest first.

        Args:
            closed_before: aware.
            after: the last batch of the slice before; None for the first one.
            batch_count_max: the slice's bound.
        """

    async def keep_report(self, report: BatchReport) -> bool:
        """Keep a closed or aborted batch's report: from now on it may be pruned, and no longer be rerun.

        Idempotent.

        Returns:
            Whether a report is kept now; not if a batch that reruns this one is in no final state, or while an
            outcome of this one is not delivered.

        Raises:
            InvariantViolationError: the report has pending items, which would look settled once they are pruned.
        """

    async def fetch_kept_report(self, batch_id: str) -> BatchReport | None:
        """Read the report of a batch that is being pruned, or is; None for any other."""

    async def prune_chunks(self, batch_id: str) -> int:
        """Prune the next chunks of a batch whose report is kept: one bounded transaction.

        Its items move to where only the audit and later offers of their orders look, each with its payload and
        outcome; chunk states and the details of exception items are dropped. Claims, plan and chunk totals stay.
        At most `limits.PRUNE_STEP_ITEM_COUNT` items, at least one chunk.

        Returns:
            How many items were pruned; 0 if none is left.

        Raises:
            BatchNotFoundError: no batch has this id.
            InvariantViolationError: its report is not kept.
        """


def check_report(report: BatchReport) -> None:
    """Refuse a report that `keep_report` does not take; every adapter begins with this.

    Raises:
        InvariantViolationError: see `Pruning.keep_report`.
    """
    if report.pending.order_count:
        raise InvariantViolationError(
            f"Batch {report.batch_id} is to be pruned, but {report.pending.order_count} of its items are pending. "
            "Nothing was written; run: settle audit"
        )
