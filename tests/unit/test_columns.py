"""Text columns refuse values that would not survive being joined to one text and split again."""

from datetime import UTC, datetime, timedelta

import pytest

from database.columns import flags_of, integer_column, integers_of, text_column, texts_of, times_of
from domain.errors import DataError


@pytest.mark.parametrize("values", [["a"], ["a", "b"], ["", "b"], ["a", "", ""], ['"', "\\", "{a,b}", "NULL", "ü\n"]])
def test_a_column_of_text_has_the_values_that_it_was_made_of(values: list[str]) -> None:
    assert texts_of(text_column(values)) == values


@pytest.mark.parametrize("values", [[""], ["a\x1fb"], ["a", "\x1f"], ["\x1f"]])
def test_a_text_that_splitting_would_lose_is_refused(values: list[str]) -> None:
    with pytest.raises(DataError, match="1F"):
        text_column(values)


def test_a_column_without_a_value_is_empty() -> None:
    assert text_column([]) == ""
    assert integer_column([]) == "{}"
    assert [values_of(None) for values_of in (texts_of, flags_of, times_of)] == [[]] * 3
    assert integers_of(None) == ()


def test_a_column_of_whole_numbers_is_an_array_literal() -> None:
    assert integer_column([3, -1, 2**62]) == "{3,-1,4611686018427387904}"


def test_columns_are_read_as_statements_join_them() -> None:
    assert integers_of(b"\0\0\0\0\0\0\0\3" + b"\xff" * 8 + b"\x40" + b"\0" * 7) == (3, -1, 2**62)
    assert flags_of(b"\1\0") == [True, False]
    midnight = datetime(2026, 11, 22, tzinfo=UTC)
    assert times_of("2026-11-22 00:00:00+00,2026-11-22 00:00:00.5+00") == [midnight, midnight + timedelta(seconds=0.5)]
