"""Taking a turn to send credits under a cap. Short waits happen here. A long wait raises `TurnLaterError`."""

import asyncio
import time

from domain import limits
from schemas.credit_turns import CreditTurn
from settlement_store.port.caps import CreditBuckets


class TurnLaterError(Exception):
    """The chunk's turn to send credits is too far away. Nothing was sent. Ask again in `wait_s`.

    `is_promised` says whether the chunk was promised a turn for then. Pass it to the next `take`.
    """

    def __init__(self, wait_s: float, *, is_promised: bool) -> None:
        super().__init__(
            f"A cap on credits makes this chunk wait. No credit was requested. Ask for a turn again in {wait_s:.1f} s."
        )
        self.wait_s = wait_s
        self.is_promised = is_promised


class CreditTurns:
    """Turns to send credits, under the installation's cap and each batch's own cap."""

    def __init__(self, buckets: CreditBuckets, credits_per_s: int | None) -> None:
        self._buckets = buckets
        self._credits_per_s = credits_per_s

    async def take(self, batch_id: str, order_count: int, *, is_promised: bool = False) -> None:
        """Take a turn to send this many credits, and return when the turn begins. Send the credits immediately.

        Call this directly before each request. It waits at most `limits.CREDIT_TURN_WAIT_S_MAX`, to free the activity
        slot soon. If the turn has passed when the wait ends, because the process was suspended, it takes another turn.

        Args:
            batch_id: the batch of the orders.
            order_count: the number of credits in the request.
            is_promised: `is_promised` of the `TurnLaterError` that led to this call. False if there was none.

        Raises:
            TurnLaterError: the wait would be longer.
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
    """Return an error that makes the chunk ask again shortly before its turn begins."""
    wait_s = max(turn.wait_s - limits.CREDIT_TURN_LEAD_S, limits.CREDIT_TURN_AHEAD_S)
    return TurnLaterError(wait_s, is_promised=turn.is_promised)
