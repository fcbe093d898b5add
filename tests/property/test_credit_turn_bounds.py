"""Turns under a cap are given at nearly the rate that it allows and never above it, and waits end in good time."""

import heapq
from itertools import accumulate

from hypothesis import given, settings
from hypothesis import strategies as st

from domain import limits
from domain.credit_turns import plan_turn
from schemas.credit_turns import CreditBucket

CAPS = st.integers(min_value=1, max_value=5_000)
# A microsecond, because PostgreSQL rounds its times to it.
ROUNDING_S = 1e-6


def require_capped(sent: list[tuple[float, int]], credits_per_s: int) -> None:
    """Require that turns in any period T sum to at most credits_per_s * T plus the largest turn."""
    sent = sorted(sent)
    at_s = [each[0] for each in sent]
    sums = [0, *accumulate(count for _, count in sent)]
    largest = max(count for _, count in sent)
    for first in range(len(sent)):
        for last in range(first, len(sent)):
            seen = sums[last + 1] - sums[first]
            assert seen <= credits_per_s * (at_s[last] - at_s[first] + ROUNDING_S) + largest


@given(
    caps=st.lists(CAPS, min_size=1, max_size=2),
    asks=st.lists(
        st.tuples(st.floats(0, 3), st.integers(1, limits.CHUNK_SIZE_MAX), st.booleans()), min_size=1, max_size=40
    ),
)
def test_whoever_asks_whenever_no_more_is_sent_than_each_cap_and_one_turn(
    caps: list[int], asks: list[tuple[float, int, bool]]
) -> None:
    buckets = [CreditBucket(cap, 0, 0) for cap in caps]
    now_s, sent = 0.0, []
    for pause_s, order_count, is_promised in asks:
        now_s += pause_s
        before = buckets
        turn, buckets = plan_turn(buckets, now_s, order_count, is_promised=is_promised)
        if turn.is_taken:
            assert 0 <= turn.wait_s <= limits.CREDIT_TURN_AHEAD_S
            sent.append((now_s + turn.wait_s, order_count))
        else:
            assert 0 < turn.wait_s <= limits.CREDIT_PROMISE_S_MAX
            assert [bucket.free_at_s for bucket in buckets] == [bucket.free_at_s for bucket in before]
    if sent:
        for cap in caps:
            require_capped(sent, cap)


@settings(deadline=None, max_examples=50)
@given(
    credits_per_s=st.integers(10, 5_000),
    order_count=st.integers(1, limits.CHUNK_SIZE_MAX),
    window=st.integers(2, limits.WINDOW_MAX),
    work_s=st.floats(0, 0.01),
)
def test_chunks_that_come_when_told_use_nearly_all_of_the_cap_and_ask_seldom(
    credits_per_s: int, order_count: int, window: int, work_s: float
) -> None:
    turn_s = order_count / (credits_per_s * limits.CREDIT_PACE)
    buckets = [CreditBucket(credits_per_s, 0, 0)]
    # Each of `window` chunks asks, comes back when its wait ends, and makes room for the next one once it has its turn.
    coming = [(0.0, number, False) for number in range(window)]
    taken_at_s: list[float] = []
    timer_count = 0
    turn_count = 3 * window
    while len(taken_at_s) < turn_count:
        now_s, number, is_promised = heapq.heappop(coming)
        turn, buckets = plan_turn(buckets, now_s, order_count, is_promised=is_promised)
        timer_count += turn.wait_s > limits.CREDIT_TURN_WAIT_S_MAX
        if turn.is_taken:
            taken_at_s.append(now_s + turn.wait_s)
            heapq.heappush(coming, (now_s + turn.wait_s + work_s, number, False))
        else:
            heapq.heappush(coming, (now_s + turn.wait_s, number, turn.is_promised))
    waited_s = taken_at_s[-1] - taken_at_s[0]
    assert (turn_count - 1) * turn_s >= 0.95 * (waited_s - limits.CREDIT_TURN_AHEAD_S)
    polls_max = window * (waited_s / (limits.CREDIT_PROMISE_S_MAX / 2) + 1)
    assert timer_count <= 2 * turn_count + polls_max


def test_a_batch_that_waits_for_its_own_cap_keeps_no_place_in_the_installations() -> None:
    installation, own = CreditBucket(1_000, 0, 0), CreditBucket(1, 500, 500)
    turn, buckets = plan_turn([installation, own], 0, 100, is_promised=False)
    assert not turn.is_taken
    assert buckets[0] == installation
    assert plan_turn(buckets[:1], 0, 100, is_promised=False)[0].is_taken
