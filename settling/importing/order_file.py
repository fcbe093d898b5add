"""An order file, read slice by slice: one line is one row, and a bad one spoils no other."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from hashlib import blake2b
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO, NamedTuple

from domain import limits
from domain.errors import SettleError
from schemas.orders import OrderRecord
from settling.importing.order_row import fields_of, record_of

COLUMNS = OrderRecord._fields
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_DIGEST_SIZE_BYTES = 16


class OrderFileError(SettleError):
    """The order file cannot be read or is no order file, or what cannot be loaded cannot be written beside it."""


class BadRow(NamedTuple):
    """A row that cannot be loaded; of an over-long line only the beginning."""

    line_no: int
    line: bytes
    reason: str


# What an import remembers of a good row: (order_id, line_no, digest). Rows whose fields are written in the same way
# have the same digest. A plain tuple of plain values costs the garbage collector nothing.
RowMark = tuple[str, int, bytes]


class Slice(NamedTuple):
    """The next rows, at most `limits.LOAD_ROW_COUNT`; a good one has a record, a mark and a line, at the same place."""

    records: list[OrderRecord]
    marks: list[RowMark]
    lines: list[bytes]
    bad_rows: list[BadRow]
    read_bytes: int


class OrderFile:
    """A CSV file with the columns of `OrderRecord`, in any order; other columns are not used."""

    def __init__(self, path: Path, binary: BinaryIO) -> None:
        """Read the first line.

        Raises:
            OrderFileError: it is not that of an order file.
            OSError: it cannot be read.
        """
        self.path = path
        self.size_bytes = os.fstat(binary.fileno()).st_size
        self._binary = binary
        first_line = binary.readline(limits.ORDER_LINE_BYTES_MAX + 1)
        self._header_bytes = len(first_line)
        if not first_line:
            raise OrderFileError(f"{self} is no order file: it is empty.")
        try:
            header = fields_of(first_line.removeprefix(_BYTE_ORDER_MARK))
        except ValueError as error:
            raise OrderFileError(f"{self} is no order file: its first line cannot be read, {error}.") from error
        self._require_columns(header)
        self._field_count = len(header)
        self._pick = itemgetter(*(header.index(column) for column in COLUMNS))
        self.unused_columns = [column for column in header if column not in COLUMNS]

    def __str__(self) -> str:
        """The file's name for a sentence; one that is no text is shown with replacement characters."""
        return shown_path(self.path)

    def read_slices(self) -> Iterator[Slice]:
        """Read the rows, each line by itself. Memory holds one slice, and of an over-long line its beginning.

        Raises:
            OrderFileError: the file cannot be read further.
        """
        try:
            yield from self._slices()
        except OSError as error:
            raise OrderFileError(f"{self} cannot be read further: {error.strerror}.") from error

    def _slices(self) -> Iterator[Slice]:
        read_bytes = self._header_bytes
        part = Slice([], [], [], [], read_bytes)
        lines = iter(partial(self._binary.readline, limits.ORDER_LINE_BYTES_MAX + 1), b"")
        for line_no, line in enumerate(lines, 2):
            read_bytes += len(line)
            if line in (b"\n", b"\r\n"):
                continue
            try:
                self._add_row(part, line_no, line)
            except ValueError as error:
                part.bad_rows.append(BadRow(line_no, line[: limits.ORDER_LINE_BYTES_MAX], f"{error}."))
                read_bytes += self._skip_rest_of(line)
            if len(part.records) + len(part.bad_rows) == limits.LOAD_ROW_COUNT:
                yield part._replace(read_bytes=read_bytes)
                part = Slice([], [], [], [], read_bytes)
        if part.records or part.bad_rows:
            yield part._replace(read_bytes=read_bytes)

    def _add_row(self, part: Slice, line_no: int, line: bytes) -> None:
        fields = fields_of(line)
        if len(fields) != self._field_count:
            raise ValueError(f"it has {len(fields)} fields, and the first line has {self._field_count}")
        picked = self._pick(fields)
        record = record_of(*picked)
        digest = blake2b("\0".join(picked).encode(), digest_size=_DIGEST_SIZE_BYTES).digest()
        part.records.append(record)
        part.marks.append((record.order_id, line_no, digest))
        part.lines.append(line)

    def _skip_rest_of(self, line: bytes) -> int:
        """Read on to the end of an over-long line in bounded pieces; how many bytes that were."""
        skipped_bytes = 0
        while len(line) > limits.ORDER_LINE_BYTES_MAX and not line.endswith(b"\n"):
            line = self._binary.readline(limits.ORDER_LINE_BYTES_MAX + 1)
            skipped_bytes += len(line)
        return skipped_bytes

    def _require_columns(self, header: Sequence[str]) -> None:
        missing = [column for column in COLUMNS if column not in header]
        if missing:
            raise OrderFileError(f"{self} is no order file: its first line lacks the column {', '.join(missing)}.")
        twice = [column for column in COLUMNS if header.count(column) > 1]
        if twice:
            raise OrderFileError(f"{self} is no order file: its first line has more than one {', '.join(twice)}.")


@contextmanager
def open_order_file(path: Path) -> Iterator[OrderFile]:
    """Open an order file and read its first line.

    Raises:
        OrderFileError: the file cannot be read, or is no order file.
    """
    try:
        binary = path.open("rb")
    except OSError as error:
        raise _unreadable(path, error) from error
    with binary:
        try:
            order_file = OrderFile(path, binary)
        except OSError as error:
            raise _unreadable(path, error) from error
        yield order_file


def shown_path(path: Path) -> str:
    """A file's name for a sentence; one that is no text is shown with replacement characters."""
    return os.fsencode(path).decode(errors="replace")


def _unreadable(path: Path, error: OSError) -> OrderFileError:
    return OrderFileError(f"{shown_path(path)} cannot be read: {error.strerror}.")
