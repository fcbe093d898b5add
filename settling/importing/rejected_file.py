"""The rows that an import could not load, in a file beside the order file."""

import csv
from collections.abc import Sequence
from pathlib import Path

from settling.importing.order_file import BadRow, OrderFileError, shown_path

COLUMNS = ("line", "reason", "row")
_FIRST_LINE = ",".join(COLUMNS).encode() + b"\n"
# People read the rows: no control character may steer their terminal.
_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) != "\t"}


def rejected_path_of(path: Path) -> Path:
    """Where the bad rows of an order file are written: `orders.rejected.csv` for `orders.csv`."""
    return path.with_name(f"{path.name.removesuffix('.csv')}.rejected.csv")


class RejectedFile:
    """Made at the first bad row, in place of an earlier import's."""

    def __init__(self, path: Path) -> None:
        """Look at what is there, before anything is imported.

        Raises:
            OrderFileError: something else than an earlier import's file has the name.
        """
        self.path = path
        self.row_count = 0
        try:
            if path.exists() and not (path.is_file() and _is_ours(path)):
                raise OrderFileError(f"{self} is where bad rows are written, but it is something else; move it away.")
        except OSError as error:
            raise OrderFileError(
                f"{self} is where bad rows are written; it cannot be used: {error.strerror}."
            ) from error

    def __str__(self) -> str:
        """The file's name for a sentence."""
        return shown_path(self.path)

    def write(self, rows: Sequence[BadRow]) -> None:
        """Add rows; the operating system has them when this returns.

        Raises:
            OrderFileError: they cannot be written.
        """
        if not rows:
            return
        try:
            with self.path.open("a" if self.row_count else "w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                if not self.row_count:
                    writer.writerow(COLUMNS)
                writer.writerows((row.line_no, row.reason, _text_of(row.line)) for row in rows)
        except OSError as error:
            raise OrderFileError(
                f"{self} is where bad rows are written; it cannot be used: {error.strerror}."
            ) from error
        self.row_count += len(rows)

    def remove_earlier(self) -> None:
        """Remove an earlier import's file, if this import had no bad row.

        Raises:
            OrderFileError: it cannot be removed.
        """
        if self.row_count:
            return
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise OrderFileError(f"{self} of an earlier import cannot be removed: {error.strerror}.") from error


def _is_ours(path: Path) -> bool:
    with path.open("rb") as file:
        return _FIRST_LINE.startswith(file.read(len(_FIRST_LINE)))


def _text_of(line: bytes) -> str:
    return line.rstrip(b"\r\n").decode("utf-8", "backslashreplace").translate(_ESCAPES)
