"""Columns that are sent as one text: what would not come out as it went in is refused."""

import pytest

from database.columns import integer_column, text_column, values_of


@pytest.mark.parametrize("values", [["a"], ["a", "b"], ["", "b"], ["a", "", ""], ['"', "\\", "{a,b}", "NULL", "ü\n"]])
def test_a_column_of_text_has_the_values_that_it_was_made_of(values: list[str]) -> None:
    assert values_of(text_column(values)) == values


@pytest.mark.parametrize("values", [[""], ["a\x1fb"], ["a", "\x1f"], ["\x1f"]])
def test_a_text_that_splitting_would_lose_is_refused(values: list[str]) -> None:
    with pytest.raises(ValueError, match="1F"):
        text_column(values)


def test_a_column_without_a_value_is_empty() -> None:
    assert text_column([]) == ""
    assert integer_column([]) == "{}"


def test_a_column_of_whole_numbers_is_an_array_literal() -> None:
    assert integer_column([3, -1, 2**62]) == "{3,-1,4611686018427387904}"
