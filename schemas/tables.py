"""Rows of one kind, held column by column.

Thousands of orders go from one system's statement to another's. As columns they are a few lists, and a row is made only
where it is looked at.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar, overload

NamedRow = TypeVar("NamedRow", bound=NamedTuple)


class Table(Sequence[NamedRow]):
    """Rows of a kind of named tuple; equal to any sequence of the same rows."""

    def __init__(self, kind: type[NamedRow], columns: Sequence[Sequence[Any]]) -> None:
        """Take columns, one for each field of the kind, in their order.

        Raises:
            TypeError: there are more or fewer columns than fields.
            ValueError: one column is longer than another.
        """
        kind._make(columns)  # refuses more or fewer
        if len(set(map(len, columns))) > 1:
            raise ValueError(f"Columns of {kind.__name__} differ in length: {[len(column) for column in columns]}.")
        self.kind = kind
        self.columns = columns

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self.columns[0])

    def __iter__(self) -> Iterator[NamedRow]:
        """The rows; a named tuple's own way to make one is a call in Python for each."""
        return map(partial(tuple.__new__, self.kind), zip(*self.columns, strict=True))

    @overload
    def __getitem__(self, place: int) -> NamedRow: ...
    @overload
    def __getitem__(self, place: slice) -> "Table[NamedRow]": ...
    def __getitem__(self, place: int | slice) -> "NamedRow | Table[NamedRow]":
        """A row, or some as a table."""
        cut = [column[place] for column in self.columns]
        return Table(self.kind, cut) if isinstance(place, slice) else self.kind._make(cut)

    def __eq__(self, other: object) -> bool:
        """Whether these are the other's rows."""
        return list(self) == list(other) if isinstance(other, Sequence) else NotImplemented

    def __repr__(self) -> str:
        """As a list of the rows."""
        return repr(list(self))


def columns_of(kind: type[NamedRow], rows: Sequence[NamedRow]) -> Sequence[Sequence[Any]]:
    """The columns of rows, a table's or any others', in the order of the kind's fields."""
    if isinstance(rows, Table):
        return rows.columns
    return list(zip(*rows, strict=True)) or [()] * len(kind._fields)
