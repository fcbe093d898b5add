"""Operator control in memory."""

from collections import defaultdict
from datetime import UTC, datetime

from domain import limits
from domain.batch_control import plan_control
from domain.control_totals import sum_outcome_totals
from domain.errors import BatchNotFoundError
from schemas.batches import Batch, BatchState, ChunkState, OutcomeTotals
from schemas.control import BatchControl, ControlRequest, StoredControlAction
from tests.doubles.settlement_store.batches import MemoryUnclosedBatches
from tests.doubles.settlement_store.state import Contents

UNDER_WAY = (BatchState.RUNNING, BatchState.PAUSED)


class MemoryBatchControl(MemoryUnclosedBatches):
    """The part of the settlement store in memory that operators reach; a batch is stored in the state that it shows."""

    def __init__(self) -> None:
        super().__init__()
        self._control_actions: defaultdict[str, list[StoredControlAction]] = defaultdict(list)

    async def control_batch(self, request: ControlRequest) -> BatchControl:
        """See `SettlementStore.control_batch`."""
        batch = self._get(request.batch_id)[0]
        before = await self.fetch_control(request.batch_id)
        after = plan_control(batch.state, before, request)
        if after.action_no > before.action_no:
            self._controls[request.batch_id] = after
            action = request.model_dump(exclude={"batch_id", "action_no_seen"})
            self._control_actions[request.batch_id].append(
                StoredControlAction(**action, action_no=after.action_no, stored_at=datetime.now(UTC))
            )
            if batch.state in UNDER_WAY:
                self._batches[request.batch_id] = batch.model_copy(update={"state": self._running_state(batch)})
        return after

    async def fetch_control(self, batch_id: str) -> BatchControl:
        """See `SettlementStore.fetch_control`."""
        return self._controls.get(batch_id) or BatchControl(window=self._get(batch_id)[0].window)

    async def fetch_control_actions(self, batch_id: str) -> list[StoredControlAction]:
        """See `SettlementStore.fetch_control_actions`."""
        self._get(batch_id)
        return self._control_actions[batch_id][-limits.CONTROL_ACTIONS_SHOWN_MAX :]

    async def fetch_unclosed_chunks(self, batch_id: str, after_chunk_index: int, chunk_count_max: int) -> list[int]:
        """See `SettlementStore.fetch_unclosed_chunks`."""
        following = self._get(batch_id)[1].chunks[after_chunk_index + 1 :]
        return [chunk.chunk_index for chunk in following if chunk.state != ChunkState.CLOSED][:chunk_count_max]

    async def fetch_outcome_totals(self, batch_id: str) -> OutcomeTotals:
        """See `SettlementStore.fetch_outcome_totals`."""
        contents = self._get(batch_id)[1]
        return sum_outcome_totals(contents.totals_of(chunk) for chunk in contents.chunks)

    def _running_state(self, batch: Batch) -> BatchState:
        control = self._controls.get(batch.batch_id)
        return BatchState.PAUSED if control and control.is_paused else BatchState.RUNNING

    def _get(self, batch_id: str) -> tuple[Batch, Contents]:
        if batch_id not in self._batches:
            raise BatchNotFoundError(f"There is no batch {batch_id}.")
        return self._batches[batch_id], self._contents[batch_id]
