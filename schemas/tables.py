"""Tables: rows of one kind, held column by column.

Thousands of orders pass from one system's statement to another's. As columns they are only a few lists, and a row is
built only when it is read.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar, overload

NamedRow = TypeVar("NamedRow", bound=NamedTuple)


class Table(Sequence[NamedRow]):
    """Rows of one named tuple type. A table equals any sequence of the same rows."""

    def __init__(self, kind: type[NamedRow], columns: Sequence[Sequence[Any]]) -> None:
        """Make a table of columns, one for each field of the kind, in field order.

        Raises:
            TypeError: there are more or fewer columns than fields.
            ValueError: the columns differ in length.
        """
        kind._make(columns)  # refuses more or fewer
        if len(set(map(len, columns))) > 1:
            raise ValueError(f"Columns of {kind.__name__} differ in length: {[len(column) for column in columns]}.")
        self.kind = kind
        self.columns = columns

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.columns[0])

    def __iter__(self) -> Iterator[NamedRow]:
        """Iterate over the rows. Calling the named tuple's own constructor would cost a Python call for each."""
        return map(partial(tuple.__new__, self.kind), zip(*self.columns, strict=True))

    @overload
    def __getitem__(self, place: int) -> NamedRow: ...
    @overload
    def __getitem__(self, place: slice) -> "Table[NamedRow]": ...
    def __getitem__(self, place: int | slice) -> "NamedRow | Table[NamedRow]":
        """Return a row, or the rows of a slice as a table."""
        cut = [column[place] for column in self.columns]
        return Table(self.kind, cut) if isinstance(place, slice) else self.kind._make(cut)

    def __eq__(self, other: object) -> bool:
        """Return whether the other sequence has the same rows."""
        return list(self) == list(other) if isinstance(other, Sequence) else NotImplemented

    def __repr__(self) -> str:
        """Return the text of the list of rows."""
        return repr(list(self))


def columns_of(kind: type[NamedRow], rows: Sequence[NamedRow]) -> Sequence[Sequence[Any]]:
    """Return the columns of a table or of other rows, in the order of the kind's fields."""
    if isinstance(rows, Table):
        return rows.columns
    return list(zip(*rows, strict=True)) or [()] * len(kind._fields)
