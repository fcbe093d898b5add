"""Turns to send credits under caps on credits per second."""

from collections.abc import Sequence

from domain import limits
from schemas.credit_turns import CreditBucket, CreditTurn


def plan_turn(
    buckets: Sequence[CreditBucket], now_s: float, order_count: int, *, is_promised: bool
) -> tuple[CreditTurn, list[CreditBucket]]:
    """Take a turn to send credits from all buckets, or from none.

    A turn that begins within `limits.CREDIT_TURN_AHEAD_S` is taken. The sender waits until it begins, so no time is
    lost between turns. Within any time T at most credits_per_s * T credits, plus those of one turn, are sent.

    If the turn begins later, the sender gets a time to ask again. These times are spread over the coming turns, one
    sender for each. A sender that comes to a promised turn and finds that it begins a little later, within
    `limits.CREDIT_TURN_WAIT_S_MAX`, waits for it. If the turn begins later than that, the sender is promised another.

    Args:
        buckets: the current buckets, at least one.
        now_s: the current time, in seconds by the buckets' clock.
        order_count: how many credits the turn is to send.
        is_promised: `is_promised` of the answer that sent the sender here now.

    Returns:
        The answer, and the updated buckets in the same order.
    """
    turn_at_s = max(now_s, *(bucket.free_at_s for bucket in buckets))
    if turn_at_s - now_s <= limits.CREDIT_TURN_AHEAD_S:
        taken = [_taken(bucket, turn_at_s, order_count) for bucket in buckets]
        return CreditTurn(is_taken=True, wait_s=turn_at_s - now_s), taken
    if is_promised and turn_at_s - now_s <= limits.CREDIT_TURN_WAIT_S_MAX:
        return _come_at(turn_at_s, now_s), list(buckets)
    # Only the bucket that is free last decides the turn. A promise in the others would block senders that could use it.
    last = max(range(len(buckets)), key=lambda index: max(buckets[index].free_at_s, buckets[index].promised_at_s))
    promised_at_s = max(turn_at_s, buckets[last].promised_at_s)
    if promised_at_s - now_s > limits.CREDIT_PROMISE_S_MAX:
        return CreditTurn(is_taken=False, wait_s=limits.CREDIT_PROMISE_S_MAX / 2), list(buckets)
    promised = list(buckets)
    promised[last] = buckets[last]._replace(promised_at_s=promised_at_s + _turn_s(buckets[last], order_count))
    return _come_at(promised_at_s, now_s), promised


def _come_at(turn_at_s: float, now_s: float) -> CreditTurn:
    """Promise a turn. The sender asks again shortly before it begins, to take it in time."""
    return CreditTurn(is_taken=False, wait_s=turn_at_s - now_s - limits.CREDIT_TURN_AHEAD_S / 2, is_promised=True)


def _taken(bucket: CreditBucket, turn_at_s: float, order_count: int) -> CreditBucket:
    free_at_s = turn_at_s + _turn_s(bucket, order_count)
    return bucket._replace(free_at_s=free_at_s, promised_at_s=max(free_at_s, bucket.promised_at_s))


def _turn_s(bucket: CreditBucket, order_count: int) -> float:
    """Return how long a turn occupies the bucket."""
    return order_count / (bucket.credits_per_s * limits.CREDIT_PACE)
