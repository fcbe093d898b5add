"""Which order ids an import has met: on disk, so that memory does not grow with the file."""

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
    """The first good row of each order: its line and its digest, in a temporary database."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        database.execute(_CREATE_FIRST_ROWS)

    def add(self, part: Slice) -> tuple[list[OrderRecord], list[BadRow]]:
        """Remember the good rows of a slice.

        Returns:
            The records of those that are the first of their order, and those that differ from the first. A row that
            is the same as the first is in neither.
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
                reason = f"order_id {order_id!r} stands on line {first_line_no} already, in a row that differs."
                different_rows.append(BadRow(line_no, line, reason))
        return first_records, different_rows


@contextmanager
def open_first_rows() -> Iterator[FirstRows]:
    """Open an empty memory of rows; SQLite keeps it in a private temporary file, which ends with the context.

    Raises:
        UnavailableError: the temporary file cannot be written.
    """
    try:
        with closing(sqlite3.connect("")) as database:
            yield FirstRows(database)
    except sqlite3.Error as error:
        raise UnavailableError(
            f"The order ids could not be kept in a temporary file: {error}. Make room in the folder for such files "
            "(TMPDIR) and import the file again."
        ) from error
