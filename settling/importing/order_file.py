"""Reading an order file slice by slice. One line is one row, and a bad row does not affect others."""

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
    """The order file cannot be read or is not an order file, or its bad rows cannot be written."""


class BadRow(NamedTuple):
    """A row that cannot be loaded. An over-long line is cut to its beginning."""

    line_no: int
    line: bytes
    reason: str


# An import stores (order_id, line_no, digest) of each good row. Rows with the same text in all fields have the same
# digest. It is not a NamedTuple, because the garbage collector stops tracking only plain tuples of plain values.
RowMark = tuple[str, int, bytes]


class Slice(NamedTuple):
    """The next rows, at most `limits.LOAD_ROW_COUNT`. A good row has its record, mark and line at the same index."""

    records: list[OrderRecord]
    marks: list[RowMark]
    lines: list[bytes]
    bad_rows: list[BadRow]
    read_bytes: int


class OrderFile:
    """A CSV file with the columns of `OrderRecord` in any order. Other columns are ignored."""

    def __init__(self, path: Path, binary: BinaryIO) -> None:
        """Read the first line.

        Raises:
            OrderFileError: it is not the first line of an order file.
            OSError: it cannot be read.
        """
        self.path = path
        self.size_bytes = os.fstat(binary.fileno()).st_size
        self._binary = binary
        first_line = binary.readline(limits.ORDER_LINE_BYTES_MAX + 1)
        self._header_bytes = len(first_line)
        if not first_line:
            raise OrderFileError(f"{self} is not an order file: it is empty.")
        try:
            header = fields_of(first_line.removeprefix(_BYTE_ORDER_MARK))
        except ValueError as error:
            raise OrderFileError(
                f"{self} is not an order file: its first line cannot be read, because {error}."
            ) from error
        self._require_columns(header)
        self._field_count = len(header)
        self._pick = itemgetter(*(header.index(column) for column in COLUMNS))
        self.unused_columns = [column for column in header if column not in COLUMNS]

    def __str__(self) -> str:
        """Return the file's name for use in a sentence."""
        return shown_path(self.path)

    def read_slices(self) -> Iterator[Slice]:
        """Read the rows line by line. Memory holds one slice, and only the beginning of an over-long line.

        Raises:
            OrderFileError: reading the file failed.
        """
        try:
            yield from self._slices()
        except OSError as error:
            raise OrderFileError(f"Reading {self} failed: {error.strerror}.") from error

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
            raise ValueError(f"the line has {len(fields)} fields, but the first line has {self._field_count}")
        picked = self._pick(fields)
        record = record_of(*picked)
        digest = blake2b("\0".join(picked).encode(), digest_size=_DIGEST_SIZE_BYTES).digest()
        part.records.append(record)
        part.marks.append((record.order_id, line_no, digest))
        part.lines.append(line)

    def _skip_rest_of(self, line: bytes) -> int:
        """Read the rest of an over-long line in bounded pieces. Return the number of bytes read."""
        skipped_bytes = 0
        while len(line) > limits.ORDER_LINE_BYTES_MAX and not line.endswith(b"\n"):
            line = self._binary.readline(limits.ORDER_LINE_BYTES_MAX + 1)
            skipped_bytes += len(line)
        return skipped_bytes

    def _require_columns(self, header: Sequence[str]) -> None:
        missing = [column for column in COLUMNS if column not in header]
        if missing:
            raise OrderFileError(
                f"{self} is not an order file: its first line lacks these columns: {', '.join(missing)}."
            )
        twice = [column for column in COLUMNS if header.count(column) > 1]
        if twice:
            raise OrderFileError(
                f"{self} is not an order file: its first line repeats these columns: {', '.join(twice)}."
            )


@contextmanager
def open_order_file(path: Path) -> Iterator[OrderFile]:
    """Open an order file and read its first line.

    Raises:
        OrderFileError: the file cannot be read, or is not an order file.
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
    """Return a file's name for use in a sentence. Bytes that are not UTF-8 become replacement characters."""
    return os.fsencode(path).decode(errors="replace")


def _unreadable(path: Path, error: OSError) -> OrderFileError:
    return OrderFileError(f"{shown_path(path)} cannot be read: {error.strerror}.")
