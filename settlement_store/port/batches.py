"""Batches, a part of the settlement store's contract: their states, totals and progress."""

from typing import Protocol

from domain.errors import InvariantViolationError
from schemas.batches import Batch, BatchProgress, UnclosedBatch
from schemas.wire.batches import BatchPlan
from schemas.wire.reports import BatchReport
from schemas.wire.totals import ControlTotals


class Batches(Protocol):
    """Batches as a whole."""

    async def set_running(self, batch_id: str) -> BatchPlan:
        """Set a frozen batch running and return its plan; a later state is left as it is.

        Raises:
            BatchNotFoundError: no batch has this id.
            BatchNotOpenError: the batch is not frozen yet.
        """

    async def close_batch(self, report: BatchReport) -> Batch:
        """Give a running batch its final state and keep its report, in one transaction; a final one stays as it is.

        It becomes closed, aborted if it is being aborted, or out_of_balance if the report is not balanced. The report
        is kept with this state and the time of the closing. A paused batch is a running one here.

        Raises:
            BatchNotFoundError: no batch has this id.
            InvariantViolationError: the batch is not running, a chunk is not closed, or the report is balanced with
                pending items, which would look settled once they are pruned.
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
            active_within_s: a batch that started, or stored a chunk's step, this long ago or longer is stuck.
        """

    async def fetch_planned_totals(self, batch_id: str) -> ControlTotals:
        """The control totals fixed at freezing; those of the items so far while the batch is open.

        Raises:
            BatchNotFoundError: no batch has this id.
        """

    async def fetch_reason_counts(self, batch_id: str) -> dict[str, int]:
        """How many exception items of a batch have each reason code; those that are pruned do not count."""

    async def fetch_progress(self, batch_id: str) -> BatchProgress:
        """Counts from chunk states and their stored totals, without touching the items.

        Raises:
            BatchNotFoundError: no batch has this id.
        """


def check_closing_report(report: BatchReport) -> None:
    """Refuse a report that `close_batch` does not take; every adapter begins with this.

    Raises:
        InvariantViolationError: see `Batches.close_batch`.
    """
    if report.balanced and report.pending.order_count:
        raise InvariantViolationError(
            f"Batch {report.batch_id} was to be closed as balanced, but {report.pending.order_count} of its items are "
            "pending. Nothing was written."
        )
