"""Operator control in memory."""

from domain import limits
from domain.batch_control import plan_control
from schemas.wire.batches import BatchState
from schemas.wire.control import BatchControl, ControlRequest, StoredControlAction
from tests.doubles.settlement_store.store_state import StoreState, now


class MemoryControl:
    """`Control` in memory."""

    def __init__(self, state: StoreState) -> None:
        self.state = state

    async def control_batch(self, request: ControlRequest) -> BatchControl:
        batch_id = request.batch_id
        batch, before = self.state.batch_of(batch_id), self.state.control_of(batch_id)
        after = plan_control(batch.state, before, request)
        if after.action_no > before.action_no:
            self.state.controls[batch_id] = after
            action = request.model_dump(exclude={"batch_id", "action_no_seen"})
            self.state.control_actions[batch_id].append(
                StoredControlAction(**action, action_no=after.action_no, stored_at=now())
            )
            if batch.state in (BatchState.RUNNING, BatchState.PAUSED):
                self.state.set_batch(batch_id, state=self.state.running_state(batch_id))
        return after

    async def fetch_control(self, batch_id: str) -> BatchControl:
        return self.state.control_of(batch_id)

    async def fetch_control_actions(self, batch_id: str) -> list[StoredControlAction]:
        actions = self.state.control_actions[self.state.batch_of(batch_id).batch_id]
        return actions[-limits.CONTROL_ACTIONS_SHOWN_MAX :]
