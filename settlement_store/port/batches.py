"""Batches, a part of the settlement store's contract: their states, totals and progress."""

from typing import Protocol

from domain.errors import InvariantViolationError, UnavailableError
from schemas.batches import Batch, BatchProgress, UnclosedBatch
from schemas.wire.batches import BatchPlan
from schemas.wire.reports import BatchReport
from schemas.wire.totals import ControlTotals


class Batches(Protocol):
    """Batches as a whole."""

    async def set_running(self, batch_id: str) -> BatchPlan:
        """Set a frozen batch running and return its plan. A batch in a later state keeps its state.

        Raises:
            BatchNotFoundError: no batch has this id.
            BatchNotOpenError: the batch is not frozen yet.
        """

    async def close_batch(self, report: BatchReport) -> Batch:
        """Give a running batch its final state and keep its report, in one transaction. A final batch does not change.

        The state is out_of_balance if the report is not balanced, else aborted if the batch is being aborted, else
        closed. The report is kept with this state and the closing time.

        Raises:
            BatchNotFoundError: no batch has this id.
            UnavailableError: the batch is paused. It can be closed once a person has resumed or aborted it.
            InvariantViolationError: the batch is not running, a chunk is not closed, or the report is balanced with
                pending items, which would count as settled once they are pruned.
        """

    async def fetch_batch(self, batch_id: str) -> Batch:
        """Read a batch.

        Raises:
            BatchNotFoundError: no batch has this id.
        """

    async def fetch_batches(self, batch_count_max: int) -> list[Batch]:
        """Read the newest batches, newest first."""

    async def fetch_unclosed_batches(self) -> list[UnclosedBatch]:
        """Read the batches in no final state, oldest first; at most `limits.UNCLOSED_BATCH_COUNT_MAX`."""

    async def fetch_backlog_order_count(self, active_within_s: float) -> int:
        """Count the items without an outcome in running batches that are neither paused nor stuck.

        Cheap enough to ask every second.

        Args:
            active_within_s: a batch is stuck if it neither started nor stored a chunk's step within this time.
        """

    async def fetch_planned_totals(self, batch_id: str) -> ControlTotals:
        """Read the control totals fixed at freezing, or those of the items so far while the batch is open.

        Raises:
            BatchNotFoundError: no batch has this id.
        """

    async def fetch_reason_counts(self, batch_id: str) -> dict[str, int]:
        """Count a batch's exception items by reason code; pruned ones do not count."""

    async def fetch_progress(self, batch_id: str) -> BatchProgress:
        """Count a batch's progress from chunk states and their stored totals, without reading the items.

        Raises:
            BatchNotFoundError: no batch has this id.
        """


def batch_paused(batch_id: str) -> UnavailableError:
    """Return the error for closing a paused batch. A retry succeeds once the pause has ended."""
    return UnavailableError(f"Batch {batch_id} cannot be closed while it is paused. Resume or abort it.")


def check_closing_report(report: BatchReport) -> None:
    """Refuse a report that `close_batch` does not accept; every adapter calls this first.

    Raises:
        InvariantViolationError: see `Batches.close_batch`.
    """
    if report.balanced and report.pending.order_count:
        raise InvariantViolationError(
            f"Could not close batch {report.batch_id} as balanced: {report.pending.order_count} of its items are "
            "pending. Nothing was written. This is a bug in Settle."
        )
