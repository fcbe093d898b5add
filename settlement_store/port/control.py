"""Operator control, a part of the settlement store's contract: what is asked of a batch, and who asked."""

from typing import Protocol

from schemas.wire.control import BatchControl, ControlRequest, StoredControlAction


class Control(Protocol):
    """Pausing, resuming and aborting batches, and changing their windows."""

    async def control_batch(self, request: ControlRequest) -> BatchControl:
        """Pause, resume or abort a batch, or set its window; an action that changes nothing is not kept. Idempotent.

        Atomic, under the batch's row lock. The action is kept with who asked for it, when and why. A late attempt, one
        that comes after an action that its asker did not know of, changes nothing.

        Returns:
            What holds now.

        Raises:
            BatchNotFoundError: no batch has this id.
            ControlRefusedError: the action makes no sense: the batch is final, or is being aborted.
        """

    async def fetch_control(self, batch_id: str) -> BatchControl:
        """Read what the actions on a batch come to.

        Raises:
            BatchNotFoundError: no batch has this id.
        """

    async def fetch_control_actions(self, batch_id: str) -> list[StoredControlAction]:
        """Read the newest `limits.CONTROL_ACTIONS_SHOWN_MAX` actions on a batch, oldest first.

        Raises:
            BatchNotFoundError: no batch has this id.
        """
