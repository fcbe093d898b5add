"""Taking a turn to send credits under a cap: short waits here, long ones by who asked."""

import asyncio
import time

from domain import limits
from schemas.credit_turns import CreditTurn
from settlement_store.port.caps import CreditBuckets


class TurnLaterError(Exception):
    """It is not the chunk's turn to send credits soon: nothing was sent; ask again in `wait_s`."""

    def __init__(self, wait_s: float, *, is_promised: bool) -> None:
        super().__init__(f"The cap on credits gives this chunk its turn in {wait_s:.1f} s.")
        self.wait_s = wait_s
        self.is_promised = is_promised


class CreditTurns:
    """Turns to send credits, under the installation's cap and each batch's own."""

    def __init__(self, buckets: CreditBuckets, credits_per_s: int | None) -> None:
        self._buckets = buckets
        self._credits_per_s = credits_per_s

    async def take(self, batch_id: str, order_count: int, *, is_promised: bool = False) -> None:
        """Take a turn to send so many credits; returns when it begins: send them at once.

        Call this directly before each request. Waits `limits.CREDIT_TURN_WAIT_S_MAX` at most, so that an activity
        slot is not held for long. A turn that was slept through (a process that was suspended) is not used.

        Args:
            batch_id: whose orders.
            order_count: how many credits the request has.
            is_promised: what the `TurnLaterError` said that told the caller to come now.

        Raises:
            TurnLaterError: the turn begins later than that.
        """
        if not order_count:
            return
        leave_at_s = time.monotonic() + limits.CREDIT_TURN_WAIT_S_MAX
        while True:
            turn = await self._buckets.take_credits(batch_id, order_count, self._credits_per_s, is_promised=is_promised)
            ends_at_s = time.monotonic() + turn.wait_s
            if ends_at_s > leave_at_s and not turn.is_taken:
                raise _later(turn)
            if turn.wait_s:
                await asyncio.sleep(turn.wait_s)
            if turn.is_taken and time.monotonic() < ends_at_s + limits.CREDIT_TURN_LATE_S_MAX:
                return
            is_promised = turn.is_promised


def _later(turn: CreditTurn) -> TurnLaterError:
    """Told to come some time before its turn, to be there when it begins."""
    wait_s = max(turn.wait_s - limits.CREDIT_TURN_LEAD_S, limits.CREDIT_TURN_AHEAD_S)
    return TurnLaterError(wait_s, is_promised=turn.is_promised)
