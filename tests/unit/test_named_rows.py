"""Rows become named tuples only if their columns are the fields."""

from typing import Any, cast

import pytest

from database.pools import Row
from database.rows import named_rows
from schemas.orders import OverdueCursor


def rows_of(*rows: tuple[object, ...]) -> list[Row]:
    return cast("list[Row]", list(rows))


def test_rows_become_named_tuples_whose_fields_are_the_columns() -> None:
    [row] = named_rows(OverdueCursor, rows_of(("2026-11-22", "o1")))
    assert isinstance(row, OverdueCursor)
    assert row.order_id == "o1"
    assert named_rows(OverdueCursor, []) == []


@pytest.mark.parametrize("columns", [("o1",), ("2026-11-22", "o1", "more")])
def test_other_columns_than_the_fields_are_refused(columns: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError, match="Expected 2 arguments"):
        named_rows(OverdueCursor, rows_of(columns))
