"""Turns to send credits under a cap."""

from typing import NamedTuple


class CreditBucket(NamedTuple):
    """A cap on credits and what is left of it; times are in seconds, by one clock.

    `free_at_s` is from when on credits may be sent again. `promised_at_s` is the same, had all those who were told to
    come later taken their turn.
    """

    credits_per_s: int
    free_at_s: float
    promised_at_s: float


class CreditTurn(NamedTuple):
    """An answer to who wants to send credits.

    Taken: send them in `wait_s`, never before. Not taken: ask again in `wait_s`, and say whether you were `promised`
    the turn.
    """

    is_taken: bool
    wait_s: float
    is_promised: bool = False
