"""A table is a sequence of rows that behaves like a list of them."""

from typing import NamedTuple

import pytest

from schemas.tables import Table, columns_of


class Pair(NamedTuple):
    name: str
    amount_minor: int


ROWS = [Pair("a", 1), Pair("b", 2), Pair("c", 3)]
TABLE = Table(Pair, (["a", "b", "c"], [1, 2, 3]))
EMPTY: Table[Pair] = Table(Pair, ([], []))


def test_its_rows_are_those_of_its_columns() -> None:
    assert list(TABLE) == ROWS
    assert [row.name for row in TABLE] == ["a", "b", "c"]
    assert (len(TABLE), TABLE[1], TABLE[-1].amount_minor) == (3, Pair("b", 2), 3)
    assert repr(TABLE) == repr(ROWS)
    assert Pair("b", 2) in TABLE
    assert not EMPTY


def test_a_part_of_it_is_a_table() -> None:
    assert TABLE[1:] == ROWS[1:]
    assert isinstance(TABLE[1:], Table)
    assert TABLE[3:] == EMPTY


def test_it_is_equal_to_the_same_rows_and_to_no_others() -> None:
    assert TABLE == ROWS
    assert ROWS == TABLE
    assert Table(Pair, (("a", "b", "c"), (1, 2, 3))) == TABLE
    assert ROWS[:2] != TABLE
    assert TABLE != 3


def test_rows_have_the_same_columns_in_a_table_or_not() -> None:
    assert [list(column) for column in columns_of(Pair, TABLE)] == [["a", "b", "c"], [1, 2, 3]]
    assert [list(column) for column in columns_of(Pair, ROWS)] == [["a", "b", "c"], [1, 2, 3]]
    assert [list(column) for column in columns_of(Pair, [])] == [[], []]


def test_columns_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(ValueError, match=r"Columns of Pair differ in length: \[2, 1\]"):
        Table(Pair, (["a", "b"], [1]))
    with pytest.raises(TypeError, match="Expected 2 arguments, got 1"):
        Table(Pair, (["a", "b"],))
