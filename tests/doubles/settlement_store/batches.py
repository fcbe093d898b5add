"""Batches as a whole, in memory."""

from collections import Counter
from datetime import timedelta

from domain import limits
from domain.control_totals import totals_of
from domain.errors import BatchNotOpenError, InvariantViolationError
from schemas.batches import Batch, BatchProgress, KeptReport, UnclosedBatch
from schemas.chunks import ChunkState
from schemas.item_outcomes import PENDING
from schemas.wire.batches import FINAL_STATES, BatchPlan, BatchState
from schemas.wire.reasons import Outcome
from schemas.wire.reports import BatchReport
from schemas.wire.totals import ControlTotals
from settlement_store.port.batches import batch_paused, check_closing_report
from tests.doubles.settlement_store.store_state import StoreState, now


class MemoryBatches:
    """`Batches` in memory."""

    def __init__(self, state: StoreState) -> None:
        self.state = state

    async def set_running(self, batch_id: str) -> BatchPlan:
        batch = self.state.batch_of(batch_id)
        if batch.state == BatchState.OPEN:
            raise BatchNotOpenError(f"Batch {batch_id} cannot start: it is still open.")
        if batch.state == BatchState.FROZEN:
            self.state.set_batch(batch_id, state=self.state.running_state(batch_id), started_at=now())
        return BatchPlan(
            state=self.state.batch_of(batch_id).state,
            chunk_count=len(self.state.contents_of(batch_id).chunks),
            chunk_size=batch.chunk_size,
            window=batch.window,
            business_date=batch.business_date,
            planned=await self.fetch_planned_totals(batch_id),
            control=self.state.control_of(batch_id),
        )

    async def close_batch(self, report: BatchReport) -> Batch:
        check_closing_report(report)
        batch_id = report.batch_id
        batch, contents = self.state.batch_of(batch_id), self.state.contents_of(batch_id)
        if batch.state in FINAL_STATES:
            return batch
        if batch.state == BatchState.PAUSED:
            raise batch_paused(batch_id)
        if batch.state != BatchState.RUNNING or any(chunk.state != ChunkState.CLOSED for chunk in contents.chunks):
            raise InvariantViolationError(
                f"Could not close batch {batch_id}: it is not running, or a chunk is not closed."
            )
        closed = BatchState.ABORTED if self.state.control_of(batch_id).is_aborting else BatchState.CLOSED
        state = closed if report.balanced else BatchState.OUT_OF_BALANCE
        batch = self.state.set_batch(batch_id, state=state, closed_at=now())
        report = report.model_copy(update={"state": batch.state, "closed_at": batch.closed_at, "since_closing": None})
        self.state.kept_reports[batch_id] = KeptReport(report)
        return batch

    async def fetch_batch(self, batch_id: str) -> Batch:
        return self.state.batch_of(batch_id)

    async def fetch_batches(self, batch_count_max: int) -> list[Batch]:
        return list(reversed(self.state.batches.values()))[:batch_count_max]

    async def fetch_unclosed_batches(self) -> list[UnclosedBatch]:
        unclosed = [batch for batch in self.state.batches.values() if batch.state not in FINAL_STATES]
        return [
            UnclosedBatch(
                batch, (now() - batch.opened_at).total_seconds(), self.state.control_of(batch.batch_id).action_no
            )
            for batch in unclosed[: limits.UNCLOSED_BATCH_COUNT_MAX]
        ]

    async def fetch_backlog_order_count(self, active_within_s: float) -> int:
        active_since = now() - timedelta(seconds=active_within_s)
        count = 0
        for batch in self.state.batches.values():
            contents = self.state.contents_of(batch.batch_id)
            step_times = [time for time in (batch.started_at, contents.latest_step_at) if time]
            if batch.state == BatchState.RUNNING and max(step_times) > active_since:
                count += sum(contents.outcome_of(item.item_no) == PENDING for item in contents.items)
        return count

    async def fetch_planned_totals(self, batch_id: str) -> ControlTotals:
        return totals_of((item.currency, 1, item.amount_minor) for item in self.state.contents_of(batch_id).items)

    async def fetch_reason_counts(self, batch_id: str) -> dict[str, int]:
        exceptions = self.state.contents_of(batch_id).live_exceptions
        return dict(sorted(Counter(str(exception.reason_code) for exception in exceptions).items()))

    async def fetch_progress(self, batch_id: str) -> BatchProgress:
        batch, contents = self.state.batch_of(batch_id), self.state.contents_of(batch_id)
        counts = Counter(contents.outcome_of(item.item_no) for item in contents.items)
        return BatchProgress(
            state=batch.state,
            planned=batch.item_count,
            **{outcome: counts[outcome] for outcome in Outcome},
            chunk_count=len(contents.chunks),
            chunk_closed_count=sum(chunk.state == ChunkState.CLOSED for chunk in contents.chunks),
        )
