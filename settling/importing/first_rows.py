"""The order ids that an import has read. They are on disk to keep memory from growing with the file."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.resources import files

from domain.errors import UnavailableError
from schemas.orders import OrderRecord
from settling.importing.order_file import BadRow, Slice

_SQL = files("settling.importing").joinpath("sql")
_CREATE_FIRST_ROWS = _SQL.joinpath("create_first_rows.sql").read_text(encoding="utf-8")
_ADD_ROW = _SQL.joinpath("add_row.sql").read_text(encoding="utf-8")
_FETCH_FIRST_ROW = _SQL.joinpath("fetch_first_row.sql").read_text(encoding="utf-8")


class FirstRows:
    """The line number and digest of each order's first good row, in a temporary database."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        database.execute(_CREATE_FIRST_ROWS)

    def add(self, part: Slice) -> tuple[list[OrderRecord], list[BadRow]]:
        """Store the good rows of a slice.

        Returns:
            The records of the rows that are the first of their order, and the rows that differ from the first one. A
            row that equals the first one is in neither list.
        """
        with self._database:
            added_count = self._database.executemany(_ADD_ROW, part.marks).rowcount
        if added_count == len(part.marks):
            return part.records, []
        first_records, different_rows = [], []
        for record, (order_id, line_no, digest), line in zip(part.records, part.marks, part.lines, strict=True):
            first_line_no, first_digest = self._database.execute(_FETCH_FIRST_ROW, (order_id,)).fetchone()
            if first_line_no == line_no:
                first_records.append(record)
            elif first_digest != digest:
                reason = f"order_id {order_id!r} is already on line {first_line_no}, in a row with other values."
                different_rows.append(BadRow(line_no, line, reason))
        return first_records, different_rows


@contextmanager
def open_first_rows() -> Iterator[FirstRows]:
    """Open an empty `FirstRows`. SQLite keeps it in a private temporary file that is deleted with the context.

    Raises:
        UnavailableError: the temporary file cannot be written.
    """
    try:
        with closing(sqlite3.connect("")) as database:
            yield FirstRows(database)
    except sqlite3.Error as error:
        raise UnavailableError(
            f"The import could not store the order ids in a temporary file: {error}. Free some space in the folder for "
            "temporary files (TMPDIR) and import the file again."
        ) from error
