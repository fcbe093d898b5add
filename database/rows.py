"""Rows as the named tuples that the ports speak of."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple, TypeVar

from database.pools import Row

NamedRow = TypeVar("NamedRow", bound=NamedTuple)


def named_rows(kind: type[NamedRow], rows: Sequence[Row]) -> list[NamedRow]:
    """Rows whose columns are the fields of a kind of named tuple, in their order; all rows come from one statement.

    A named tuple's own `_make` is a call in Python for each row.

    Raises:
        TypeError: the statement has more or fewer columns than the kind has fields.
    """
    if rows:
        kind._make(rows[0])  # refuses other columns
    return list(map(partial(tuple.__new__, kind), rows))
