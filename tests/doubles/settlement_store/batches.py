"""Batches in no final state, in memory: what is asked of them by the sweep and by intake."""

from datetime import UTC, datetime, timedelta

from domain import limits
from schemas.audit import PENDING
from schemas.batches import FINAL_STATES, Batch, BatchState, UnclosedBatch
from schemas.control import BatchControl
from tests.doubles.settlement_store.pruning import MemoryPruning


class MemoryUnclosedBatches(MemoryPruning):
    """The part of the settlement store in memory that looks at the batches in no final state."""

    def __init__(self) -> None:
        super().__init__()
        self._controls: dict[str, BatchControl] = {}

    async def fetch_unclosed_batches(self) -> list[UnclosedBatch]:
        """See `SettlementStore.fetch_unclosed_batches`."""
        now = datetime.now(UTC)
        unclosed = [batch for batch in self._batches.values() if batch.state not in FINAL_STATES]
        return [
            UnclosedBatch(batch, (now - batch.opened_at).total_seconds(), self._action_no(batch.batch_id))
            for batch in unclosed[: limits.UNCLOSED_BATCH_COUNT_MAX]
        ]

    async def fetch_backlog_order_count(self, active_within_s: float) -> int:
        """See `SettlementStore.fetch_backlog_order_count`."""
        active_since = datetime.now(UTC) - timedelta(seconds=active_within_s)
        return sum(
            self._contents[batch.batch_id].outcome_of(item.item_no) == PENDING
            for batch in self._batches.values()
            if batch.state == BatchState.RUNNING and self._latest_step_at(batch) > active_since
            for item in self._contents[batch.batch_id].items
        )

    def _action_no(self, batch_id: str) -> int:
        return self._controls[batch_id].action_no if batch_id in self._controls else 0

    def _latest_step_at(self, batch: Batch) -> datetime:
        """When the batch was started, or last stored a chunk's step."""
        times = (batch.opened_at, batch.started_at, self._contents[batch.batch_id].latest_step_at)
        return max(time for time in times if time)
