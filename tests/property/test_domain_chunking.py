"""Chunks cover every item of a batch exactly once, whatever its size."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from domain import limits
from domain.chunking import chunk_count_of, chunk_range

SIZES = st.integers(1, limits.CHUNK_SIZE_MAX)


@given(st.integers(0, 5_000), st.integers(1, 200))
def test_every_item_is_in_exactly_one_chunk(item_count: int, chunk_size: int) -> None:
    chunks = [chunk_range(index, item_count, chunk_size) for index in range(chunk_count_of(item_count, chunk_size))]
    assert [item_no for chunk in chunks for item_no in chunk] == list(range(item_count))


@given(st.integers(1, limits.BATCH_ORDER_COUNT_MAX), SIZES)
def test_the_chunks_of_any_batch_meet_end_to_end_and_only_the_last_is_short(item_count: int, chunk_size: int) -> None:
    chunk_count = chunk_count_of(item_count, chunk_size)
    places = {0, 1, chunk_count // 2, chunk_count - 2, chunk_count - 1}
    around = sorted(index for index in places if 0 <= index < chunk_count)
    chunks = {index: chunk_range(index, item_count, chunk_size) for index in around}
    assert chunks[0].start == 0
    assert chunks[chunk_count - 1].stop == item_count
    assert 0 < len(chunks[chunk_count - 1]) <= chunk_size
    for index, following in pairwise(around):
        assert len(chunks[index]) == chunk_size
        assert following != index + 1 or chunks[index].stop == chunks[following].start


@given(SIZES)
def test_a_full_batch_has_no_more_chunks_than_their_ids_can_name(chunk_size: int) -> None:
    assert chunk_count_of(limits.batch_order_count_max(chunk_size), chunk_size) <= limits.CHUNK_COUNT_MAX
