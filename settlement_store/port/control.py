"""Operator control, a part of the settlement store's contract: actions on a batch and who asked for them."""

from typing import Protocol

from schemas.wire.control import BatchControl, ControlRequest, StoredControlAction


class Control(Protocol):
    """Pausing, resuming and aborting batches, and changing their windows."""

    async def control_batch(self, request: ControlRequest) -> BatchControl:
        """Pause, resume or abort a batch, or set its window. Idempotent.

        Atomic, under the batch's row lock. The action is kept with who asked for it, when and why; an action that
        changes nothing is not kept. A late attempt changes nothing: another action was stored after
        `request.action_no_seen`.

        Returns:
            The batch's control state now.

        Raises:
            BatchNotFoundError: no batch has this id.
            ControlRefusedError: the batch is final or is being aborted, or the request is malformed.
        """

    async def fetch_control(self, batch_id: str) -> BatchControl:
        """Read a batch's control state: the combined effect of the actions so far.

        Raises:
            BatchNotFoundError: no batch has this id.
        """

    async def fetch_control_actions(self, batch_id: str) -> list[StoredControlAction]:
        """Read the newest `limits.CONTROL_ACTIONS_SHOWN_MAX` actions on a batch, oldest first.

        Raises:
            BatchNotFoundError: no batch has this id.
        """
