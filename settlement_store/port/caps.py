"""The part of the settlement store that caps credits. This docstring and the method's are the contract.

A cap is in orders per second, over all workers. The installation may have one and each batch may; both hold. Credits
are sent in turns, each for all the orders of one request. It is a token bucket that may go into debt by one turn.
"""

from typing import Protocol

from schemas.credit_turns import CreditTurn


class CreditBuckets(Protocol):
    """Turns to send credits."""

    async def take_credits(
        self, batch_id: str, order_count: int, credits_per_s: int | None, *, is_promised: bool
    ) -> CreditTurn:
        """Take a turn to send credits, from the installation's cap and the batch's own, or from neither. Atomic.

        The store's own clock counts, from a moment at which no other turn is being taken. Not idempotent: a turn that
        was taken and is not used is lost, and delays the others.

        Args:
            batch_id: whose orders; its own cap is stored with it.
            order_count: how many credits the request has.
            credits_per_s: the installation's cap; None for none.
            is_promised: what the answer said that told the caller to come now; False if there was none.

        Returns:
            When to send or to ask again; without a cap the turn is taken, and begins now.

        Raises:
            BatchNotFoundError: no batch has this id.
        """
