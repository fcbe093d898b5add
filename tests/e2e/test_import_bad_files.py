"""`settle import` reports every kind of bad file with its place and the right exit code."""

import csv
import json
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest

from domain import limits
from tests.e2e.conftest import Commands, Finished

HEADER = "order_id,account_id,paid_minor,refunded_minor,currency,status,completed_at,after_sale_ends_at"
MOMENTS = "2025-01-06T00:00:00Z,2025-01-13T00:00:00Z"


def row_of(
    order_id: str, paid: str = "1000", refunded: str = "0", currency: str = "USD", moments: str = MOMENTS
) -> bytes:
    return f"{order_id},A1,{paid},{refunded},{currency},completed,{moments}".encode()


class BadRow(NamedTuple):
    """A bad row and the expected message."""

    name: str
    row: bytes
    reason: str


BAD_ROWS = [
    BadRow("not a number", row_of("b", "ten"), "paid_minor 'ten' is not an amount"),
    BadRow("negative", row_of("b", "-5"), "paid_minor '-5' is not an amount"),
    BadRow("refunded over paid", row_of("b", "5", "6"), "refunded_minor 6 is more than paid_minor 5"),
    BadRow("unknown currency", row_of("b", currency="XXX"), "currency 'XXX' is unknown"),
    BadRow("bad date", row_of("b", moments="2025-13-01T00:00:00Z,2025-01-13T00:00:00Z"), "completed_at '2025-13-01"),
    BadRow(
        "no zone", row_of("b", moments="2025-01-01T00:00:00,2025-01-13T00:00:00Z"), "not a date and time with a zone"
    ),
    BadRow("another row for an order", row_of("g1", "7"), "order_id 'g1' is already on line 2, in a row with other"),
    BadRow("invalid UTF-8", b"\xff" + row_of("b"), "the line is not valid UTF-8 at byte 1"),
    BadRow("10 MB line", row_of("b" * 10_000_000), "the line is longer than 8,192 bytes"),
    BadRow("too few fields", b"b,A1", "the line has 2 fields, but the first line has 8"),
    BadRow("too many fields", row_of("b") + b",x", "the line has 9 fields, but the first line has 8"),
    BadRow("open quote", b'"' + row_of("b"), "the line has a misplaced quote"),
    BadRow("stray quote", row_of('"b"x'), "the line has a misplaced quote"),
    BadRow("NUL bytes", row_of("b\0\0"), "the line contains a NUL byte"),
]


class NoOrderFile(NamedTuple):
    """The whole content of a file that is not an order file, and the expected message."""

    name: str
    content: bytes
    says: str


NO_ORDER_FILES = [
    NoOrderFile("empty", b"", "orders.csv is not an order file: it is empty."),
    NoOrderFile("missing column", HEADER.replace(",status", "").encode() + b"\n", "lacks these columns: status."),
    NoOrderFile(
        "no first line", row_of("g1") + b"\n", "orders.csv is not an order file: its first line lacks these columns:"
    ),
    NoOrderFile("column twice", f"{HEADER},status\n".encode(), "its first line repeats these columns: status."),
    NoOrderFile(
        "first line no UTF-8",
        b"\xff\n" + row_of("g1"),
        "its first line cannot be read, because the line is not valid UTF-8",
    ),
    NoOrderFile(
        "UTF-16", f"{HEADER}\n".encode("utf-16"), "its first line cannot be read, because the line contains a NUL byte"
    ),
    NoOrderFile(
        "10 MB first line",
        b"x" * 10_000_000,
        "its first line cannot be read, because the line is longer than 8,192 bytes",
    ),
    NoOrderFile("binary", bytes(range(256)) * 40, "orders.csv is not an order file: its first line"),
]


def write(commands: Commands, content: bytes) -> Path:
    file = commands.directory / "orders.csv"
    file.write_bytes(content)
    return file


def lines_of(*rows: bytes) -> bytes:
    return b"".join(row + b"\n" for row in (HEADER.encode(), *rows))


def rejected(commands: Commands) -> list[tuple[int, str]]:
    with (commands.directory / "orders.rejected.csv").open(encoding="utf-8", newline="") as rows:
        return [(int(row["line"]), row["reason"]) for row in csv.DictReader(rows, strict=True)]


def stored_order_ids(commands: Commands) -> list[str]:
    with psycopg.connect(commands.database_url) as connection:
        return [order_id for (order_id,) in connection.execute("SELECT order_id FROM order_center.orders ORDER BY 1")]


def assert_one_sentence(finished: Finished, exit_code: int, says: str) -> None:
    assert finished.returncode == exit_code, finished.stderr
    [sentence] = finished.stderr.splitlines()
    assert sentence.startswith("settle: ")
    assert says in sentence


@pytest.mark.parametrize("bad", BAD_ROWS, ids=lambda bad: bad.name)
def test_a_bad_row_is_put_beside_the_file_and_the_others_are_imported(commands: Commands, bad: BadRow) -> None:
    write(commands, lines_of(row_of("g1"), bad.row, row_of("g2")))
    finished = commands.run("import", "orders.csv")
    assert finished.stdout == "Imported 2 orders from orders.csv.\n"
    assert_one_sentence(
        finished,
        1,
        "Bad rows in orders.csv: 1; orders imported: 2. orders.rejected.csv has each bad row with its line",
    )
    [(line, reason)] = rejected(commands)
    assert line == 3
    assert bad.reason in reason
    assert stored_order_ids(commands) == ["g1", "g2"]


def test_all_bad_rows_at_once_are_told_in_one_json_object(commands: Commands) -> None:
    write(commands, lines_of(row_of("g1"), *(bad.row for bad in BAD_ROWS), row_of("g1"), row_of("g2")))
    finished = commands.run("import", "orders.csv", "--json")
    assert_one_sentence(finished, 1, f"Bad rows in orders.csv: {len(BAD_ROWS)}; orders imported: 2.")
    assert json.loads(finished.stdout) == {
        "file": "orders.csv",
        "orders": 2,
        "announced": {"order_count": 2, "order_count_by_currency": {"USD": 2}, "amount_minor": {"USD": 2000}},
        "published": 0,
        "bad_rows": len(BAD_ROWS),
        "rejected_file": "orders.rejected.csv",
    }
    told = rejected(commands)
    assert [line for line, _ in told] == list(range(3, len(BAD_ROWS) + 3))
    assert all(bad.reason in reason for bad, (_, reason) in zip(BAD_ROWS, told, strict=True))


@pytest.mark.parametrize("bad", NO_ORDER_FILES, ids=lambda bad: bad.name)
def test_a_file_that_is_no_order_file_loads_nothing(commands: Commands, bad: NoOrderFile) -> None:
    write(commands, bad.content)
    finished = commands.run("import", "orders.csv", "--json")
    assert finished.stdout == ""
    assert_one_sentence(finished, 2, bad.says)
    assert stored_order_ids(commands) == []
    assert [path.name for path in commands.directory.iterdir()] == ["orders.csv"]


def test_a_folder_or_a_file_that_is_not_there_is_a_sentence_without_any_server(tmp_path: Path) -> None:
    away = Commands(tmp_path, {"SETTLE_DATABASE_URL": "postgresql://settle@127.0.0.1:1/settle"})
    (tmp_path / "folder.csv").mkdir()
    for name, strerror in (("folder.csv", "Is a directory"), ("none.csv", "No such file or directory")):
        finished = away.run("import", name)
        assert finished.stdout == ""
        assert_one_sentence(finished, 2, f"{name} cannot be read: {strerror}.")


def test_a_file_of_a_first_line_alone_is_no_fault(commands: Commands) -> None:
    write(commands, lines_of())
    assert commands.ok("import", "orders.csv") == "Imported 0 orders from orders.csv.\n"


def test_columns_that_are_not_used_are_named_and_no_fault(commands: Commands) -> None:
    write(commands, f"note,{HEADER},\x1b[2J,\n".encode() + b"x," + row_of("g1") + b",y,\n")
    finished = commands.run("import", "orders.csv", "--json")
    assert_one_sentence(finished, 0, r"orders.csv has columns that are not used: 'note', '\x1b[2J', ''.")
    assert json.loads(finished.stdout)["orders"] == 1


def test_the_corrected_file_imports_cleanly_and_leaves_no_rejected_file(commands: Commands) -> None:
    write(commands, lines_of(row_of("g1"), row_of("g2", "ten")))
    assert commands.run("import", "orders.csv").returncode == 1
    write(commands, lines_of(row_of("g1"), row_of("g2", "10")))
    assert commands.ok("import", "orders.csv") == "Imported 2 orders from orders.csv.\n"
    assert stored_order_ids(commands) == ["g1", "g2"]
    assert not (commands.directory / "orders.rejected.csv").exists()


def test_bad_rows_that_cannot_be_written_are_not_passed_over(commands: Commands) -> None:
    write(commands, lines_of(row_of("g1"), row_of("g2", "ten")))
    (commands.directory / "orders.rejected.csv").symlink_to("no-folder/orders.rejected.csv")
    finished = commands.run("import", "orders.csv")
    assert finished.stdout == ""
    assert_one_sentence(finished, 2, "Bad rows cannot be written to orders.rejected.csv: No such file")
    assert stored_order_ids(commands) == []


def test_a_file_name_that_is_no_text_is_no_fault(commands: Commands) -> None:
    name = b"orders-\xff.csv".decode("utf-8", "surrogateescape")
    (commands.directory / name).write_bytes(lines_of(row_of("g1"), b"bad"))
    finished = commands.run("import", name, "--json")
    assert_one_sentence(finished, 1, "Bad rows in orders-\N{REPLACEMENT CHARACTER}.csv: 1")
    assert json.loads(finished.stdout)["orders"] == 1


def test_a_line_as_long_as_the_bound_is_imported(commands: Commands) -> None:
    note = "x" * (limits.ORDER_LINE_BYTES_MAX - len(row_of("g1") + b",\n"))
    write(commands, f"{HEADER},note\n".encode() + row_of("g1") + f",{note}\n".encode())
    assert commands.run("import", "orders.csv").returncode == 0
    assert stored_order_ids(commands) == ["g1"]
