"""Caps on credits, a part of the settlement store's contract.

A cap limits the orders per second that all workers together credit. The installation may have one, and so may each
batch; both apply. Credits are sent in turns, one turn for all orders of one request. A cap is a token bucket that may
go into debt by one turn.
"""

from typing import Protocol

from schemas.credit_turns import CreditTurn


class CreditBuckets(Protocol):
    """Turns to send credits."""

    async def take_credits(
        self, batch_id: str, order_count: int, credits_per_s: int | None, *, is_promised: bool
    ) -> CreditTurn:
        """Take a turn to send credits, from the installation's cap and the batch's own, or from neither. Atomic.

        Time is the store's own clock, read while no other turn is being taken. Not idempotent: a turn that is taken and
        not used is lost and delays the others.

        Args:
            batch_id: the orders' batch; its own cap is stored with it.
            order_count: the number of credits in the request.
            credits_per_s: the installation's cap; None for none.
            is_promised: `is_promised` of the answer to the call before; False on the first call.

        Returns:
            When to send, or when to ask again. Without a cap the turn is taken and begins now.

        Raises:
            BatchNotFoundError: no batch has this id.
        """
