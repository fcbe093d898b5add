"""Operator control of a batch while its workflow runs. Each action is stored first, then applied."""

import asyncio
from collections.abc import Callable

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

from activities.settlement import SettlementActivities
from domain.batch_control import is_in_effect, plan_control, plan_own_pause, refused
from schemas.wire.batches import BatchState
from schemas.wire.control import BatchControl, ControlAction, ControlInput, ControlRequest
from workflows.activity_options import CHUNK_ACTIVITY


class OperatorControl:
    """The control state that results from the actions on a batch. PostgreSQL decides on each action.

    Attributes:
        control: the current control state.
        is_open: whether the batch has been opened. Before that, the store has no batch, so no action can be stored.
        is_closing: whether all chunks have ended. From then on, actions change nothing.
    """

    def __init__(
        self, batch_id: str, control: BatchControl, on_pause_change: Callable[[], None], *, is_open: bool
    ) -> None:
        self.control = control
        self.is_open = is_open
        self.is_closing = False
        self._batch_id = batch_id
        self._on_pause_change = on_pause_change
        self._storing = asyncio.Lock()

    @property
    def running_state(self) -> BatchState:
        """The state to show for a batch in no final state: running or paused."""
        return BatchState.PAUSED if self.control.is_paused else BatchState.RUNNING

    def require_sense(self, action: ControlAction, asked: ControlInput) -> None:
        """Refuse an invalid action before it is accepted, to keep refusals out of the workflow's history.

        Raises:
            ControlRefusedError: the action is not possible, or comes too early or too late.
        """
        request = self._request_of(action, asked)
        after = plan_control(BatchState.RUNNING, self.control, request)
        if not self.is_open:
            raise refused(request, "the batch is not open yet; try again in a moment")
        if self.is_closing and after != self.control:
            raise refused(request, "all its chunks have ended and it is being closed")

    async def store_action(self, action: ControlAction, asked: ControlInput) -> BatchControl:
        """Store an action and apply it. Return the control state.

        Raises:
            ActivityError: the store refused it.
        """
        return await self._store(self._request_of(action, asked))

    async def pause_itself(self, reason: str) -> None:
        """Pause on Settle's own behalf, unless the batch is already paused or being aborted."""
        if self.control.is_paused or self.control.is_aborting:
            return
        try:
            await self._store(plan_own_pause(self._batch_id, reason))
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            # The store refuses the pause if somebody aborted the batch in the meantime. The abort's handler applies it.
            await workflow.wait_condition(workflow.all_handlers_finished)
            if not self.control.is_aborting:
                raise

    async def catch_up(self) -> BatchControl:
        """Read the control state from the store and apply it. Return the current one."""
        control = await workflow.execute_activity_method(
            SettlementActivities.fetch_control,
            self._batch_id,
            summary="read the actions on the batch",
            **CHUNK_ACTIVITY,
        )
        self.apply(control)
        return self.control

    def apply(self, control: BatchControl) -> None:
        """Adopt this control state, unless it is older than the current one."""
        if control.action_no <= self.control.action_no:
            return
        is_pause_changed = control.is_paused != self.control.is_paused
        self.control = control
        if is_pause_changed:
            self._on_pause_change()

    def _request_of(self, action: ControlAction, asked: ControlInput) -> ControlRequest:
        return ControlRequest(**asked.model_dump(), batch_id=self._batch_id, action=action)

    async def _store(self, request: ControlRequest) -> BatchControl:
        """Store an action and apply it. Actions are stored one at a time.

        The request names the last action that this workflow has applied. If the store has a newer one, it changes
        nothing and returns its control state. The action is then requested again, unless it is in effect by now. A
        repeated attempt of the activity therefore cannot undo a newer action.
        """
        async with self._storing:
            while not self.is_closing:
                control = await workflow.execute_activity_method(
                    SettlementActivities.control_batch,
                    request.model_copy(update={"action_no_seen": self.control.action_no}),
                    summary=f"{request.action}, requested by {request.requested_by}",
                    **CHUNK_ACTIVITY,
                )
                self.apply(control)
                if is_in_effect(control, request):
                    break
        return self.control
