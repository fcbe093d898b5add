"""The file beside the order file that holds the rows that an import could not load."""

import csv
from collections.abc import Sequence
from pathlib import Path

from settling.importing.order_file import BadRow, OrderFileError, shown_path

COLUMNS = ("line", "reason", "row")
_FIRST_LINE = ",".join(COLUMNS).encode() + b"\n"
# People read the rows in a terminal, so control characters are escaped.
_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) != "\t"}


def rejected_path_of(path: Path) -> Path:
    """Return the path for the bad rows of an order file: `orders.rejected.csv` for `orders.csv`."""
    return path.with_name(f"{path.name.removesuffix('.csv')}.rejected.csv")


class RejectedFile:
    """The file of bad rows. It is created at the first bad row and replaces the file of an earlier import."""

    def __init__(self, path: Path) -> None:
        """Check the path before anything is imported.

        Raises:
            OrderFileError: the path exists and is not the file of an earlier import, or cannot be read.
        """
        self.path = path
        self.row_count = 0
        try:
            if path.exists() and not (path.is_file() and _is_ours(path)):
                raise OrderFileError(
                    f"Bad rows cannot be written to {self}: it exists already and no import wrote it. Move it away."
                )
        except OSError as error:
            raise OrderFileError(f"Bad rows cannot be written to {self}: {error.strerror}.") from error

    def __str__(self) -> str:
        """Return the file's name for use in a sentence."""
        return shown_path(self.path)

    def write(self, rows: Sequence[BadRow]) -> None:
        """Append rows. They are handed to the operating system before this returns.

        Raises:
            OrderFileError: the rows cannot be written.
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
            raise OrderFileError(f"Bad rows cannot be written to {self}: {error.strerror}.") from error
        self.row_count += len(rows)

    def remove_earlier(self) -> None:
        """Remove the file of an earlier import if this import had no bad row.

        Raises:
            OrderFileError: the file cannot be removed.
        """
        if self.row_count:
            return
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise OrderFileError(f"{self}, left by an earlier import, cannot be removed: {error.strerror}.") from error


def _is_ours(path: Path) -> bool:
    with path.open("rb") as file:
        return _FIRST_LINE.startswith(file.read(len(_FIRST_LINE)))


def _text_of(line: bytes) -> str:
    return line.rstrip(b"\r\n").decode("utf-8", "backslashreplace").translate(_ESCAPES)
