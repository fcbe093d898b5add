"""An order file's good rows are loaded, and each bad one is recorded with its line and the reason."""

import csv
import os
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import pytest

from domain import limits
from domain.errors import UnavailableError
from schemas.orders import FetchedRecord
from settling.importing import ImportResult, import_file
from settling.importing.first_rows import open_first_rows
from settling.importing.order_file import OrderFile, OrderFileError, open_order_file
from tests.doubles.fund_platform import MemoryFundPlatform
from tests.doubles.order_center import MemoryOrderCenter

HEADER = "order_id,account_id,paid_minor,refunded_minor,currency,status,completed_at,after_sale_ends_at"
GOOD_ROW = "o1,A1,1000,100,USD,completed,2025-01-06T00:00:00Z,2025-01-13T08:00:00+08:00"
CUTOFF = datetime(2026, 1, 1, tzinfo=UTC)


class Systems:
    """An empty Order Center, an empty Fund Platform, and a file to import into them."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "orders.csv"
        self.rejected_file = directory / "orders.rejected.csv"
        self.order_center = MemoryOrderCenter()
        self.fund_platform = MemoryFundPlatform()
        self.read_bytes: list[int] = []

    async def load(self, *rows: str | bytes, header: str = HEADER) -> ImportResult:
        lines = (row.encode() if isinstance(row, str) else row for row in (header, *rows))
        self.file.write_bytes(b"".join(line + b"\n" for line in lines))
        return await self.load_file()

    async def load_file(self) -> ImportResult:
        with open_order_file(self.file) as order_file:
            return await import_file(order_file, self.order_center, self.fund_platform.accounts, self.read_bytes.append)

    async def order_ids(self) -> list[str]:
        offered = await self.order_center.fetch_overdue_slice(CUTOFF, None, 100_000)
        return [order.order_id for order in offered.orders]

    def rejected(self) -> list[tuple[int, str, str]]:
        with self.rejected_file.open(encoding="utf-8", newline="") as lines:
            header, *rows = csv.reader(lines, strict=True)
        assert header == ["line", "reason", "row"]
        return [(int(line), reason, row) for line, reason, row in rows]


@pytest.fixture
def systems(tmp_path: Path) -> Systems:
    return Systems(tmp_path)


@pytest.fixture(params=[1, 2, 10])
def slice_size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LOAD_ROW_COUNT", request.param)


def good(order_id: str, **columns: str) -> str:
    fields = dict(zip(HEADER.split(","), GOOD_ROW.split(","), strict=True)) | columns | {"order_id": order_id}
    return ",".join(fields.values())


async def test_a_row_becomes_a_record_and_its_account_is_opened(systems: Systems) -> None:
    result = await systems.load(GOOD_ROW)
    assert result.model_dump(exclude={"file"}) == {
        "orders": 1,
        "announced": {"order_count": 1, "order_count_by_currency": {"USD": 1}, "amount_minor": {"USD": 900}},
        "published": 0,
        "bad_rows": 0,
        "rejected_file": None,
    }
    assert await systems.order_center.fetch_records(["o1"]) == [
        FetchedRecord("o1", "A1", 1000, 100, "USD", "completed", datetime(2025, 1, 13, tzinfo=UTC), 1)
    ]
    account = await systems.fund_platform.accounts.fetch_account("A1")
    assert (account.currency, account.balance_minor) == ("USD", 0)
    assert not systems.rejected_file.exists()


async def test_columns_are_found_by_name_and_others_ignored(systems: Systems) -> None:
    columns = HEADER.split(",")
    row = dict(zip(columns, GOOD_ROW.split(","), strict=True)) | {"note": '"a, ""b"""', "": ""}
    turned = [*reversed(columns), "note", ""]
    await systems.load(",".join(row[column] for column in turned), header="\ufeff" + ",".join(turned))
    [record] = await systems.order_center.fetch_records(["o1"])
    assert record[:6] == ("o1", "A1", 1000, 100, "USD", "completed")
    with open_order_file(systems.file) as order_file:
        assert order_file.unused_columns == ["note", ""]


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("last_line_end", [b"", b"\n", b"\n\r\n\n"])
async def test_a_line_may_end_in_any_way_and_empty_lines_are_passed_over(
    systems: Systems, line_end: bytes, last_line_end: bytes
) -> None:
    lines = [row.encode() for row in (HEADER, good("o1"), '"o2"' + GOOD_ROW[2:], "", good("o1"))]
    systems.file.write_bytes(line_end.join(lines) + last_line_end)
    result = await systems.load_file()
    assert (result.orders, result.bad_rows) == (2, 0)
    assert await systems.order_ids() == ["o1", "o2"]
    assert systems.read_bytes == [systems.file.stat().st_size]


async def test_an_account_is_opened_in_the_currency_of_its_first_good_row(systems: Systems, slice_size: None) -> None:
    bad, *rows = (good(f"o{n}", currency=currency) for n, currency in enumerate(["XXX", "EUR", *4 * ["USD"]]))
    result = await systems.load(bad, *rows)
    assert (result.orders, result.bad_rows) == (5, 1)
    assert (await systems.fund_platform.accounts.fetch_account("A1")).currency == "EUR"


async def test_of_differing_rows_for_an_order_the_first_good_one_stays(systems: Systems, slice_size: None) -> None:
    rows = [
        good("o1", currency="XXX"),
        good("o1", paid_minor="2000"),
        good("o2"),
        good("o1", paid_minor="3000"),
        good("o1", paid_minor="2000"),
        good("o1", account_id="A2"),
    ]
    result = await systems.load(*rows)
    [record] = await systems.order_center.fetch_records(["o1"])
    assert (record.account_id, record.paid_minor) == ("A1", 2000)
    assert (result.orders, result.announced.amount_minor, result.bad_rows) == (2, {"USD": 2800}, 3)
    assert [(line, row) for line, _, row in systems.rejected()] == [(2, rows[0]), (5, rows[3]), (7, rows[5])]
    assert {reason for _, reason, _ in systems.rejected()[1:]} == {
        "order_id 'o1' is already on line 3, in a row with other values."
    }
    assert "A2" not in systems.fund_platform.state.account_by_id


async def test_a_row_that_is_repeated_is_harmless_and_counts_once(systems: Systems, slice_size: None) -> None:
    result = await systems.load(good("o1"), good("o2"), good("o1"), good("o1").replace("o1", '"o1"'), good("o2"))
    assert (result.orders, result.announced.amount_minor, result.bad_rows) == (2, {"USD": 1800}, 0)


BAD_ROWS = [
    (good("b", paid_minor="-1"), "paid_minor '-1' is not an amount: it must be a whole number of minor units, zero or"),
    (good("b", paid_minor="+1"), "paid_minor '+1' is not an amount"),
    (good("b", paid_minor="10.00"), "paid_minor '10.00' is not an amount"),
    (good("b", paid_minor="1_000"), "paid_minor '1_000' is not an amount"),
    (good("b", paid_minor="ten"), "paid_minor 'ten' is not an amount"),
    (good("b", paid_minor="\N{ARABIC-INDIC DIGIT ONE}"), "is not an amount"),
    (good("b", paid_minor=""), "paid_minor '' is not an amount"),
    (good("b", paid_minor="9" * (limits.AMOUNT_DIGIT_COUNT_MAX + 1)), "is not an amount"),
    (good("b", refunded_minor="-1"), "refunded_minor '-1' is not an amount"),
    (good("b", refunded_minor="1001"), "refunded_minor 1001 is more than paid_minor 1000."),
    (good("b", currency="XXX"), "currency 'XXX' is unknown: it must be one of CNY, EUR"),
    (good("b", currency="usd"), "currency 'usd' is unknown"),
    (good("b", status="done"), "status 'done' is unknown: it must be one of completed, unpaid"),
    (good(""), "order_id '' is not an identifier"),
    (good("o" * 65), "is not an identifier: it must have 1 to 64 printable characters"),
    (good("o\x1b[2J"), r"order_id 'o\x1b[2J' is not an identifier"),
    (good("b", account_id="funding:USD"), "account_id 'funding:USD' begins with 'funding:', which is reserved"),
    (good("b", account_id=" A1"), "account_id ' A1' is not an identifier"),
    (good("b", completed_at="2025-01-06T00:00:00"), "completed_at '2025-01-06T00:00:00' is not a date and time with a"),
    (good("b", completed_at="2025-01-06"), "completed_at '2025-01-06' is not a date and time with a zone"),
    (good("b", completed_at="2025-02-30T00:00:00Z"), "completed_at '2025-02-30T00:00:00Z' is not a date and time"),
    (good("b", completed_at="yesterday"), "it must look like 2026-11-22T00:00:00Z"),
    (
        good("b", after_sale_ends_at="0001-01-01T00:00:00+14:00"),
        "after_sale_ends_at '0001-01-01T00:00:00+14:00' is not",
    ),
    (good("b").replace("USD,", ""), "the line has 7 fields, but the first line has 8."),
    (good("b") + ",", "the line has 9 fields, but the first line has 8."),
    (" ", "the line has 1 fields"),
    (good('"b"x'), "the line has a misplaced quote: "),
    (good('"b'), "the line has a misplaced quote: "),
    (good("b") + '"', "after_sale_ends_at"),
    (good("b\0"), "the line contains a NUL byte or a carriage return."),
    (good("b", status="completed\r"), "the line contains a NUL byte or a carriage return."),
    (good("b").encode("utf-16"), "the line contains a NUL byte"),
    (b"\xff" + good("b").encode(), "the line is not valid UTF-8 at byte 1."),
    (good("b").encode() + b"\xe2\x82", f"the line is not valid UTF-8 at byte {len(good('b')) + 1}."),
    (good("b", status="x" * limits.ORDER_LINE_BYTES_MAX), "the line is longer than 8,192 bytes."),
]


@pytest.mark.parametrize(("row", "says"), BAD_ROWS, ids=[says for _, says in BAD_ROWS])
async def test_a_bad_row_is_rejected_with_its_line_and_the_reason_and_spoils_no_other(
    systems: Systems, row: str | bytes, says: str
) -> None:
    result = await systems.load(good("g1"), row, good("g2"))
    assert (result.orders, result.bad_rows) == (2, 1)
    assert result.rejected_file == str(systems.rejected_file)
    assert await systems.order_ids() == ["g1", "g2"]
    [(line, reason, shown)] = systems.rejected()
    assert line == 3
    assert says in reason
    assert reason.isprintable()
    assert reason.endswith(".")
    assert shown.isprintable()
    if isinstance(row, str) and row.isprintable():
        assert shown == row[: limits.ORDER_LINE_BYTES_MAX]


async def test_what_is_no_text_in_a_bad_row_is_escaped(systems: Systems) -> None:
    await systems.load(b"a\xff\0\x1b\tb\xc2\x9b\r")
    assert systems.rejected()[0][2] == r"a\xff\x00\x1b" + "\t" + r"b\x9b"


@pytest.mark.parametrize("too_much", [0, 1, 2])
async def test_a_line_may_be_as_long_as_the_bound_and_no_longer(systems: Systems, too_much: int) -> None:
    rest = limits.ORDER_LINE_BYTES_MAX - len(good("g1") + ",\n") + too_much
    result = await systems.load(good("g1") + "," + "x" * rest, good("g2") + ",", header=HEADER + ",note")
    assert (result.orders, result.bad_rows) == ((2, 0) if too_much == 0 else (1, 1))
    assert "g2" in await systems.order_ids()


async def test_an_over_long_line_is_one_bad_row_and_never_in_memory(systems: Systems) -> None:
    long_bytes = 50_000_000
    with systems.file.open("wb") as file:
        file.write(f"{HEADER}\n{good('g1')}\n".encode())
        file.truncate(long_bytes)
        file.seek(0, os.SEEK_END)
        file.write(f"\n{good('g2')}\n".encode())
    tracemalloc.start()
    try:
        result = await systems.load_file()
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()
    assert (result.orders, result.bad_rows) == (2, 1)
    [(line, reason, row)] = systems.rejected()
    assert (line, reason) == (3, "the line is longer than 8,192 bytes.")
    assert row == r"\x00" * limits.ORDER_LINE_BYTES_MAX
    assert systems.read_bytes == [systems.file.stat().st_size]


def write_bad_rows(file: Path, row_count: int) -> None:
    with file.open("w") as lines:
        lines.write(HEADER + "\n")
        lines.writelines(f"{good(f'b{n}', currency='XXX')}\n" for n in range(row_count))


async def test_a_hundred_thousand_bad_rows_are_all_rejected(systems: Systems) -> None:
    write_bad_rows(systems.file, 100_000)
    result = await systems.load_file()
    assert (result.orders, result.bad_rows) == (0, 100_000)
    assert [line for line, _, _ in systems.rejected()] == list(range(2, 100_002))


async def test_memory_holds_one_slice_however_many_rows_are_bad(
    systems: Systems, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LOAD_ROW_COUNT", 100)
    peaks: list[int] = []
    for row_count in (200, 5_000):
        write_bad_rows(systems.file, row_count)
        tracemalloc.start()
        try:
            assert (await systems.load_file()).bad_rows == row_count
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert peaks[1] < 2 * peaks[0]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is not an order file: it is empty."),
        (b"\n", "is not an order file: its first line lacks these columns: order_id, account_id"),
        (GOOD_ROW.encode(), "lacks these columns: order_id"),
        (HEADER.replace("currency,status,", "").encode(), "its first line lacks these columns: currency, status."),
        (HEADER.replace(",", ";").encode(), "lacks these columns: order_id"),
        (f"{HEADER},status".encode(), "its first line repeats these columns: status."),
        (HEADER.encode("utf-16"), "its first line cannot be read, because the line contains a NUL byte"),
        (b"\xff" + HEADER.encode(), "its first line cannot be read, because the line is not valid UTF-8 at byte 1."),
        (f'{HEADER},"note'.encode(), "its first line cannot be read, because the line has a misplaced quote"),
        (
            b"x" * limits.ORDER_LINE_BYTES_MAX * 3,
            "its first line cannot be read, because the line is longer than 8,192 bytes.",
        ),
    ],
)
async def test_a_file_that_is_no_order_file_says_so_and_loads_nothing(
    systems: Systems, content: bytes, says: str
) -> None:
    systems.rejected_file.write_text("line,reason,row\n2,of an earlier import,x\n")
    systems.file.write_bytes(content + f"\n{GOOD_ROW}\n".encode() if content else b"")
    with pytest.raises(OrderFileError) as raised:
        await systems.load_file()
    assert str(raised.value).startswith(f"{systems.file} is not an order file: ")
    assert says in str(raised.value)
    assert await systems.order_ids() == []
    assert len(systems.rejected()) == 1


async def test_a_file_of_a_first_line_alone_imports_no_orders(systems: Systems) -> None:
    result = await systems.load()
    assert (result.orders, result.bad_rows, result.announced.order_count) == (0, 0, 0)


async def test_a_file_that_cannot_be_opened_says_why(systems: Systems) -> None:
    with pytest.raises(OrderFileError, match=r"orders\.csv cannot be read: No such file or directory\."):
        await systems.load_file()
    systems.file.mkdir()
    with pytest.raises(OrderFileError, match=r"orders\.csv cannot be read: Is a directory\."):
        await systems.load_file()


async def test_a_file_that_breaks_off_says_how_much_is_imported(
    systems: Systems, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Breaking:
        def __init__(self, binary: BinaryIO) -> None:
            self._binary = binary

        def fileno(self) -> int:
            return self._binary.fileno()

        def readline(self, size: int) -> bytes:
            line = self._binary.readline(size)
            if line.startswith(b"o3"):
                raise OSError(5, "Input/output error")
            return line

    def breaking(self: OrderFile, path: Path, binary: BinaryIO) -> None:
        whole(self, path, Breaking(binary))  # type: ignore[arg-type]

    whole = OrderFile.__init__
    monkeypatch.setattr(OrderFile, "__init__", breaking)
    monkeypatch.setattr(limits, "LOAD_ROW_COUNT", 1)
    with pytest.raises(
        OrderFileError, match=r"orders\.csv failed: Input/output error\. 2 orders were already imported\. "
    ):
        await systems.load(good("o1"), good("o2"), good("o3"))


async def test_the_rejected_file_of_an_earlier_import_is_replaced_and_in_the_end_removed(systems: Systems) -> None:
    await systems.load("bad one", "bad two", good("g1"))
    assert [line for line, _, _ in systems.rejected()] == [2, 3]
    await systems.load(good("g1"), good("g2"), "bad three")
    assert [(line, row) for line, _, row in systems.rejected()] == [(4, "bad three")]
    await systems.load(good("g1"), good("g2"), good("g3"))
    assert not systems.rejected_file.exists()


@pytest.mark.parametrize("bad_rows", [[], ["bad"]])
async def test_what_a_person_keeps_under_the_rejected_files_name_is_left_alone(
    systems: Systems, bad_rows: list[str]
) -> None:
    systems.rejected_file.write_text(f"{HEADER}\n{good('mine')}\n")
    with pytest.raises(
        OrderFileError, match=r"written to .*orders\.rejected\.csv: it exists already and no import wrote it"
    ):
        await systems.load(good("g1"), *bad_rows)
    assert await systems.order_ids() == []
    assert "mine" in systems.rejected_file.read_text()


async def test_bad_rows_that_cannot_be_written_stop_the_import(
    systems: Systems, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LOAD_ROW_COUNT", 2)
    systems.rejected_file.symlink_to(systems.file.parent / "no-folder" / "file")
    with pytest.raises(OrderFileError, match=r"No such file or directory\. 2 orders were already imported"):
        await systems.load(good("g1"), good("g2"), good("g3"), "bad", good("g4"))
    assert await systems.order_ids() == ["g1", "g2"]


def add_all_on_three_pages(file: Path) -> None:
    with open_order_file(file) as order_file, open_first_rows() as first_rows:
        first_rows._database.execute("PRAGMA max_page_count = 3")
        for part in order_file.read_slices():
            first_rows.add(part)


def test_a_full_disk_under_the_temporary_file_is_a_sentence(systems: Systems) -> None:
    systems.file.write_text("\n".join([HEADER, *(good(f"o{n}") for n in range(1000))]))
    with pytest.raises(
        UnavailableError, match=r"disk is full\. Free some space in the folder for temporary files \(TMPDIR\)"
    ):
        add_all_on_three_pages(systems.file)


async def test_progress_ends_at_the_size_of_the_file(systems: Systems, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LOAD_ROW_COUNT", 2)
    await systems.load(*(good(f"o{n}") for n in range(5)))
    assert len(systems.read_bytes) == 3
    assert systems.read_bytes == sorted(systems.read_bytes)
    assert systems.read_bytes[-1] == systems.file.stat().st_size
