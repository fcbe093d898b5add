"""Who may send credits when, under caps on how many are sent a second."""

from collections.abc import Sequence

from domain import limits
from schemas.credit_turns import CreditBucket, CreditTurn


def plan_turn(
    buckets: Sequence[CreditBucket], now_s: float, order_count: int, *, is_promised: bool
) -> tuple[CreditTurn, list[CreditBucket]]:
    """Give a turn to send credits, from all of the buckets or from none.

    A turn that begins within `limits.CREDIT_TURN_AHEAD_S` is taken: who sends it waits for the moment. So no time is
    lost between turns, and the credits that are sent within any time T are at most credits_per_s * T and one turn's.

    All others are told when to come. They are spread over the turns to come, so that one asks for each. Who comes to
    a turn that was promised, and finds it a little late, waits on the spot; much later, it is promised another one.

    Args:
        buckets: the caps, at least one, as they are now.
        now_s: the time.
        order_count: how many credits the turn is to send.
        is_promised: what the answer said that told the asker to come now.

    Returns:
        The answer, and the buckets as they are from now on, in the same order.
    """
    turn_at_s = max(now_s, *(bucket.free_at_s for bucket in buckets))
    if turn_at_s - now_s <= limits.CREDIT_TURN_AHEAD_S:
        taken = [_taken(bucket, turn_at_s, order_count) for bucket in buckets]
        return CreditTurn(is_taken=True, wait_s=turn_at_s - now_s), taken
    if is_promised and turn_at_s - now_s <= limits.CREDIT_TURN_WAIT_S_MAX:
        return _come_at(turn_at_s, now_s), list(buckets)
    # The turn depends on the bucket that has it last; a place in the others would keep it from those who could use it.
    last = max(range(len(buckets)), key=lambda index: max(buckets[index].free_at_s, buckets[index].promised_at_s))
    promised_at_s = max(turn_at_s, buckets[last].promised_at_s)
    if promised_at_s - now_s > limits.CREDIT_PROMISE_S_MAX:
        return CreditTurn(is_taken=False, wait_s=limits.CREDIT_PROMISE_S_MAX / 2), list(buckets)
    promised = list(buckets)
    promised[last] = buckets[last]._replace(promised_at_s=promised_at_s + _turn_s(buckets[last], order_count))
    return _come_at(promised_at_s, now_s), promised


def _come_at(turn_at_s: float, now_s: float) -> CreditTurn:
    """A little early, to take the turn before it begins."""
    return CreditTurn(is_taken=False, wait_s=turn_at_s - now_s - limits.CREDIT_TURN_AHEAD_S / 2, is_promised=True)


def _taken(bucket: CreditBucket, turn_at_s: float, order_count: int) -> CreditBucket:
    free_at_s = turn_at_s + _turn_s(bucket, order_count)
    return bucket._replace(free_at_s=free_at_s, promised_at_s=max(free_at_s, bucket.promised_at_s))


def _turn_s(bucket: CreditBucket, order_count: int) -> float:
    """How long the bucket is not free after a turn has begun."""
    return order_count / (bucket.credits_per_s * limits.CREDIT_PACE)
