"""Relays that ask in turn share all buckets, and each bucket has exactly one relay."""

from hypothesis import given
from hypothesis import strategies as st

from domain.limits import RESULT_BUCKET_COUNT
from domain.relay_shares import plan_buckets

RELAY_IDS = st.text(min_size=1, max_size=3)


def ask(relay_id: str, leases: dict[str, frozenset[int]]) -> None:
    leases[relay_id] = plan_buckets(relay_id, leases | {relay_id: leases.get(relay_id, frozenset())})


@given(st.lists(st.tuples(RELAY_IDS, st.booleans()), max_size=60))
def test_buckets_have_one_holder_and_two_rounds_share_all_of_them_fairly(calls: list[tuple[str, bool]]) -> None:
    leases: dict[str, frozenset[int]] = {}
    for relay_id, dies in calls:
        ask(relay_id, leases)
        if dies:
            del leases[relay_id]
        held = [bucket for buckets in leases.values() for bucket in buckets]
        assert len(held) == len(set(held))
    for relay_id in 2 * list(leases):
        ask(relay_id, leases)
    sizes = [len(buckets) for buckets in leases.values()]
    assert not sizes or (sum(sizes) == RESULT_BUCKET_COUNT and max(sizes) - min(sizes) <= 1)


@given(st.lists(RELAY_IDS, min_size=1, max_size=20, unique=True))
def test_a_relay_keeps_what_it_holds_while_no_other_comes_or_goes(relay_ids: list[str]) -> None:
    leases: dict[str, frozenset[int]] = {}
    for relay_id in 3 * relay_ids:
        ask(relay_id, leases)
    before = dict(leases)
    for relay_id in relay_ids:
        ask(relay_id, leases)
    assert leases == before
