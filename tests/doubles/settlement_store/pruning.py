"""Pruning in memory: pruned items stay where they are, below a mark that reads of live items skip."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from domain import limits
from domain.errors import InvariantViolationError
from schemas.batches import Batch, KeptReport, RetiredBatch
from schemas.wire.batches import FINAL_STATES, BatchState
from schemas.wire.reasons import Outcome
from schemas.wire.reports import SinceClosing
from tests.doubles.settlement_store.store_state import StoreState, now

_PRUNABLE = (BatchState.CLOSED, BatchState.ABORTED)


class MemoryPruning:
    """`Pruning` in memory."""

    def __init__(self, state: StoreState) -> None:
        self.state = state

    async def fetch_retired_batches(
        self, retention: timedelta, after: RetiredBatch | None, batch_count_max: int
    ) -> Sequence[RetiredBatch]:
        retired = sorted(
            (
                self._retired(batch, batch.closed_at)
                for batch in self.state.batches.values()
                if batch.state in _PRUNABLE
                and batch.batch_id not in self.state.pruned_batch_ids
                and batch.closed_at
                and batch.closed_at <= now() - retention
            ),
            key=lambda batch: (batch.closed_at, batch.batch_id),
        )
        place = (after.closed_at, after.batch_id) if after else None
        return [each for each in retired if place is None or (each.closed_at, each.batch_id) > place][:batch_count_max]

    async def begin_pruning(self, batch_id: str, since_closing: SinceClosing) -> bool:
        batch = self.state.batches.get(batch_id)
        waits = self._unclosed_rerun_count(batch_id) or self._undelivered_count(batch_id)
        if batch and batch.state in _PRUNABLE and not waits and not self.state.is_being_pruned(batch_id):
            since_closing = since_closing.model_copy(update={"pruned_at": now()})
            self.state.kept_reports[batch_id] = KeptReport(self.state.kept_reports[batch_id].report, since_closing)
        return self.state.is_being_pruned(batch_id)

    async def prune_chunks(self, batch_id: str) -> int:
        contents = self.state.contents_of(batch_id)
        if not self.state.is_being_pruned(batch_id):
            raise InvariantViolationError(
                f"Could not prune chunks of batch {batch_id}: it is not marked as being pruned."
            )
        item_start = contents.pruned_item_count
        step = max(1, limits.PRUNE_STEP_ITEM_COUNT // contents.chunk_size) * contents.chunk_size
        contents.pruned_item_count = min(item_start + step, len(contents.items))
        if contents.pruned_item_count == len(contents.items):
            self.state.pruned_batch_ids.add(batch_id)
        return contents.pruned_item_count - item_start

    def _retired(self, batch: Batch, closed_at: datetime) -> RetiredBatch:
        contents = self.state.contents_of(batch.batch_id)
        held_count = sum(
            exception.outcome == Outcome.HELD and self.state.is_latest(contents.items[exception.item_no])
            for exception in contents.live_exceptions
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
            for batch in self.state.batches.values()
        )

    def _undelivered_count(self, batch_id: str) -> int:
        return sum(row.batch_id == batch_id for row in self.state.outbox.values())
