"""Turns to send credits under a cap."""

from typing import NamedTuple


class CreditBucket(NamedTuple):
    """The state of a cap on credits. Times are in seconds, by one clock.

    `free_at_s` is when credits may be sent again. `promised_at_s` is when they could be sent again after all promised
    turns were taken.
    """

    credits_per_s: int
    free_at_s: float
    promised_at_s: float


class CreditTurn(NamedTuple):
    """The answer to a request for a turn to send credits.

    If it is taken, the sender sends its credits in `wait_s` seconds, never before. If not, the sender asks again in
    `wait_s` seconds and passes `is_promised` on.
    """

    is_taken: bool
    wait_s: float
    is_promised: bool = False
