"""Whole columns as one string each, which PostgreSQL takes apart or puts together.

A statement splits a column of text at the control character 1F (`string_to_array`) and casts one of whole numbers
(`$2::text::bigint[]`). The driver's own encoding of a list looks at each element several times: 10,000 strings took
3.6 ms of the process's time, joined 0.3 ms, and the statement takes less time, too. Splitting is immutable, so
that the planner knows how many rows there are.

The other way a statement joins a column of text by the same character, and one of whole numbers or flags from
PostgreSQL's binary form (`string_agg` of `int8send`, `boolsend`): the driver would make a value of each field and a row
of each row.
"""

import struct
from collections.abc import Sequence
from datetime import datetime

from domain.errors import DataError

# Nothing printable, so in no id that was taken in.
_SEPARATOR = "\x1f"
_INTEGER_BYTES = 8


def text_column(values: Sequence[str]) -> str:
    """A column of text.

    Raises:
        DataError: a value holds the separator, or the only one is empty, which splitting would take for none.
    """
    joined = _SEPARATOR.join(values)
    if joined.count(_SEPARATOR) != max(len(values) - 1, 0) or (values and not joined):
        refused = next((value for value in values if _SEPARATOR in value), "")
        raise DataError(
            f"The text {refused!r} cannot be sent: it is empty or holds the control character 1F, as no id does. "
            "Nothing was sent; repair it and try again."
        )
    return joined


def integer_column(values: Sequence[int]) -> str:
    """A column of whole numbers."""
    return f"{{{','.join(map(str, values))}}}"


def texts_of(column: str | None) -> list[str]:
    """The values of a column of text; None for one without values."""
    return [] if column is None else column.split(_SEPARATOR)


def integers_of(column: bytes | None) -> Sequence[int]:
    """The values of a column of whole numbers; None for one without values."""
    return () if column is None else struct.unpack(f">{len(column) // _INTEGER_BYTES}q", column)


def times_of(column: str | None) -> list[datetime]:
    """The values of a column of times, as connections of `database.pools` write them; None for one without values."""
    return [] if column is None else list(map(datetime.fromisoformat, column.split(",")))


def flags_of(column: bytes | None) -> list[bool]:
    """The values of a column of flags; None for one without values."""
    return [] if column is None else list(map(bool, column))
