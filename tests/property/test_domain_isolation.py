"""Bisection finds all bad items and no others, with few probes for each."""

from math import ceil, log2

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.isolation import Isolation
from schemas.wire.isolation import ItemRange

seeded = settings(max_examples=300, derandomize=True, database=None, deadline=None)


@st.composite
def chunks(draw: st.DrawFn) -> tuple[ItemRange, set[int]]:
    """Generate a chunk and its bad items: a few, most or all of them."""
    start = draw(st.integers(0, 10_000))
    count = draw(st.integers(1, 300))
    item_nos = range(start, start + count)
    bad = draw(
        st.one_of(
            st.sets(st.sampled_from(item_nos), max_size=5),
            st.sets(st.sampled_from(item_nos)),
            st.just(set(item_nos)),
        )
    )
    return ItemRange(start, start + count), bad


def probe_all(isolation: Isolation, bad: set[int], probe_count_max: int = 10_000) -> list[ItemRange]:
    """Answer the probes truthfully, up to the limit, and return the probes made."""
    probes: list[ItemRange] = []
    while len(probes) < probe_count_max and (items := isolation.next_probe()):
        probes.append(items)
        isolation.answer(is_bad=not bad.isdisjoint(range(*items)))
    return probes


def found_by(isolation: Isolation, chunk: ItemRange) -> set[int]:
    return set(range(*chunk)) - covered(isolation.rest())


def covered(ranges: list[ItemRange]) -> set[int]:
    return {item_no for items in ranges for item_no in range(*items)}


@seeded
@given(chunk_and_bad=chunks())
def test_exactly_the_bad_items_stand_alone_after_few_probes_each(chunk_and_bad: tuple[ItemRange, set[int]]) -> None:
    chunk, bad = chunk_and_bad
    isolation = Isolation(chunk)
    isolation.begin()
    probes = probe_all(isolation, bad)
    assert found_by(isolation, chunk) == bad
    assert isolation.suspected() == []
    assert bad <= {items.item_start for items in probes if items.item_end - items.item_start == 1}
    assert len(probes) <= max(len(bad), 1) * (2 * log2(chunk.item_end - chunk.item_start) + 2)
    assert len(probes) == len(set(probes))


@seeded
@given(chunk_and_bad=chunks(), probe_count_max=st.integers(0, 60))
def test_a_bound_on_probes_leaves_each_item_good_or_alone_or_suspected(
    chunk_and_bad: tuple[ItemRange, set[int]], probe_count_max: int
) -> None:
    chunk, bad = chunk_and_bad
    isolation = Isolation(chunk)
    isolation.begin()
    probe_count = len(probe_all(isolation, bad, probe_count_max))
    found = found_by(isolation, chunk)
    suspected = covered(isolation.suspected())
    assert found <= bad
    assert bad - found <= suspected
    assert not suspected & found
    halving_count = ceil(log2(chunk.item_end - chunk.item_start))
    if bad:
        assert len(found) >= (probe_count // max(2 * halving_count, 1) if suspected else len(bad))


@seeded
@given(chunk_and_bad=chunks(), later=st.sets(st.integers(0, 299), max_size=3))
def test_items_that_turn_bad_later_are_found_beside_those_that_stand_alone(
    chunk_and_bad: tuple[ItemRange, set[int]], later: set[int]
) -> None:
    chunk, bad = chunk_and_bad
    isolation = Isolation(chunk)
    isolation.begin()
    probe_all(isolation, bad)
    worse = bad | {chunk.item_start + n for n in later if chunk.item_start + n < chunk.item_end}
    isolation.begin()
    again = probe_all(isolation, worse)
    assert found_by(isolation, chunk) == worse
    assert not covered(again) & bad


def test_a_chunk_all_of_poison_has_items_standing_alone_from_the_first_probes_on() -> None:
    isolation = Isolation(ItemRange(0, 5_000))
    isolation.begin()
    probes = probe_all(isolation, set(range(5_000)), 400)
    assert len(probes) == 400
    assert 190 <= len(found_by(isolation, ItemRange(0, 5_000))) <= 210


def test_the_right_half_of_a_bad_range_is_not_probed_whole_if_the_left_is_good() -> None:
    chunk = ItemRange(0, 4_096)
    isolation = Isolation(chunk)
    isolation.begin()
    probes = probe_all(isolation, {4_095})
    assert found_by(isolation, chunk) == {4_095}
    assert len(probes) == 12 + 1, "a probe for each halving, and one of the item alone"
