"""Pruning in memory: what is pruned stays where it is, behind a mark that the reads of live items do not pass."""

from collections.abc import Sequence
from datetime import datetime

from domain import limits
from domain.errors import BatchNotFoundError, InvariantViolationError
from schemas.batches import FINAL_STATES, Batch, BatchState, ReconciliationReport, RetiredBatch
from schemas.reasons import Outcome
from settlement_store.port.pruning import check_report
from tests.doubles.settlement_store.outbox import MemoryOutbox
from tests.doubles.settlement_store.state import Claim

_PRUNABLE = (BatchState.CLOSED, BatchState.ABORTED)


class MemoryPruning(MemoryOutbox):
    """The part of the settlement store in memory that prunes; it has the state of all of it."""

    def __init__(self) -> None:
        super().__init__()
        self._claims: dict[str, Claim] = {}
        self._kept_reports: dict[str, ReconciliationReport] = {}
        self._pruned_batch_ids: set[str] = set()

    async def fetch_retired_batches(
        self, closed_before: datetime, after: RetiredBatch | None, batch_count_max: int
    ) -> Sequence[RetiredBatch]:
        """See `SettlementStore.fetch_retired_batches`."""
        retired = sorted(
            (
                self._retired(batch, batch.closed_at)
                for batch in self._batches.values()
                if batch.state in _PRUNABLE
                and batch.batch_id not in self._pruned_batch_ids
                and batch.closed_at
                and batch.closed_at < closed_before
            ),
            key=lambda batch: (batch.closed_at, batch.batch_id),
        )
        place = (after.closed_at, after.batch_id) if after else None
        return [each for each in retired if place is None or (each.closed_at, each.batch_id) > place][:batch_count_max]

    async def keep_report(self, report: ReconciliationReport) -> bool:
        """See `SettlementStore.keep_report`."""
        check_report(report)
        batch = self._batches[report.batch_id]
        waits = self._unclosed_rerun_count(report.batch_id) or self._undelivered_count(report.batch_id)
        if batch.state in _PRUNABLE and not waits:
            self._kept_reports.setdefault(report.batch_id, report)
        return report.batch_id in self._kept_reports

    async def fetch_kept_report(self, batch_id: str) -> ReconciliationReport | None:
        """See `SettlementStore.fetch_kept_report`."""
        return self._kept_reports.get(batch_id)

    async def prune_chunks(self, batch_id: str) -> int:
        """See `SettlementStore.prune_chunks`."""
        if batch_id not in self._batches:
            raise BatchNotFoundError(f"There is no batch {batch_id}.")
        if batch_id not in self._kept_reports:
            raise InvariantViolationError(f"Batch {batch_id} was to be pruned before its report was kept.")
        contents = self._contents[batch_id]
        item_start = contents.pruned_item_count
        step = max(1, limits.PRUNE_STEP_ITEM_COUNT // contents.chunk_size) * contents.chunk_size
        contents.pruned_item_count = min(item_start + step, len(contents.items))
        if contents.pruned_item_count == len(contents.items):
            self._pruned_batch_ids.add(batch_id)
        return contents.pruned_item_count - item_start

    def _retired(self, batch: Batch, closed_at: datetime) -> RetiredBatch:
        contents = self._contents[batch.batch_id]
        held_count = sum(
            exception.outcome == Outcome.HELD
            and item_no >= contents.pruned_item_count
            and self._claims[contents.items[item_no].order_id].claim_no == contents.items[item_no].claim_no
            for item_no, exception in contents.exceptions.items()
        )
        return RetiredBatch(
            batch.batch_id,
            closed_at,
            batch.item_count,
            held_count,
            self._unclosed_rerun_count(batch.batch_id),
            self._undelivered_count(batch.batch_id),
        )

    def _unclosed_rerun_count(self, batch_id: str) -> int:
        return sum(
            batch.rerun is not None and batch.rerun.batch_id == batch_id and batch.state not in FINAL_STATES
            for batch in self._batches.values()
        )
