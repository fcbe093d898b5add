"""What an order file does, and what stops its import."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from domain import limits
from fund_platform.memory import MemoryFundPlatform
from order_center.memory import MemoryOrderCenter
from schemas.orders import TransactionRecord
from starters.import_orders import BadRowError, OrderFileError, import_file

HEADER = "order_id,account_id,paid_minor,refunded_minor,currency,status,completed_at,after_sale_ends_at"
GOOD_ROW = "o1,A1,1000,100,USD,completed,2025-01-06T00:00:00Z,2025-01-13T08:00:00+08:00"
CUTOFF = datetime(2026, 1, 1, tzinfo=UTC)


class Systems:
    """An empty Order Center and an empty Fund Platform, and a file to import into them."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "orders.csv"
        self.order_center = MemoryOrderCenter()
        self.fund_platform = MemoryFundPlatform()

    async def load(self, *rows: str, header: str = HEADER) -> dict[str, object]:
        self.file.write_text("\n".join((header, *rows)) + "\n", encoding="utf-8")
        return (await import_file(self.file, self.order_center, self.fund_platform)).model_dump(exclude={"file"})

    async def order_ids(self) -> list[str]:
        offered = await self.order_center.fetch_overdue_slice(CUTOFF, None, 100_000)
        return [order.order_id for order in offered]


@pytest.fixture
def systems(tmp_path: Path) -> Systems:
    return Systems(tmp_path)


async def test_a_row_becomes_a_record_and_its_account_is_opened(systems: Systems) -> None:
    result = await systems.load(GOOD_ROW)
    assert result == {
        "orders": 1,
        "announced": {"order_count": 1, "order_count_by_currency": {"USD": 1}, "amount_minor": {"USD": 900}},
    }
    assert await systems.order_center.fetch_records(["o1"]) == [
        TransactionRecord("o1", "A1", 1000, 100, "USD", "completed", datetime(2025, 1, 13, tzinfo=UTC), 1)
    ]
    account = await systems.fund_platform.fetch_account("A1")
    assert (account.currency, account.balance_minor) == ("USD", 0)


async def test_columns_are_found_by_name_and_others_ignored(systems: Systems) -> None:
    columns = HEADER.split(",")
    row = dict(zip(columns, GOOD_ROW.split(","), strict=True)) | {"note": '"a, b"'}
    turned = [*reversed(columns), "note"]
    await systems.load(",".join(row[column] for column in turned), header="\ufeff" + ",".join(turned))
    [record] = await systems.order_center.fetch_records(["o1"])
    assert record[:6] == ("o1", "A1", 1000, 100, "USD", "completed")


async def test_an_account_is_opened_in_the_currency_of_its_first_row_also_across_slices(
    systems: Systems, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LOAD_ROW_COUNT", 2)
    rows = [
        GOOD_ROW.replace("o1", f"o{n}").replace("USD", currency) for n, currency in enumerate(["EUR", *4 * ["USD"]])
    ]
    result = await systems.load(*rows)
    assert result["orders"] == 5
    assert len(await systems.order_ids()) == 5
    assert (await systems.fund_platform.fetch_account("A1")).currency == "EUR"


@pytest.mark.parametrize("slice_size", [1, 2, 10])
async def test_of_rows_for_the_same_order_the_last_one_stays(
    systems: Systems, monkeypatch: pytest.MonkeyPatch, slice_size: int
) -> None:
    monkeypatch.setattr(limits, "LOAD_ROW_COUNT", slice_size)
    await systems.load(GOOD_ROW, GOOD_ROW.replace("1000", "2000"))
    [record] = await systems.order_center.fetch_records(["o1"])
    assert record.paid_minor == 2000


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("1000", "-1", "paid_minor '-1' is no amount"),
        ("1000", "10.00", "paid_minor '10.00' is no amount"),
        ("1000", "1_000", "paid_minor '1_000' is no amount"),
        ("1000", "\N{ARABIC-INDIC DIGIT ONE}", "is no amount"),
        ("1000", "", "paid_minor '' is no amount"),
        ("1000", "9" * (limits.AMOUNT_DIGIT_COUNT_MAX + 1), "is no amount"),
        (",100,", ",1001,", "refunded_minor 1001 is more than paid_minor 1000"),
        ("USD", "XXX", "currency 'XXX' is not known"),
        ("completed", "done", "status 'done' is not known; it can be completed, unpaid"),
        ("o1,", ",", "order_id '' is no identifier"),
        ("o1,", f"{'o' * 65},", "is no identifier"),
        ("o1,", "o\x00,", "is no identifier"),
        ("A1", "house:USD", "account_id 'house:USD' belongs to the house"),
        ("A1", " A1", "account_id ' A1' is no identifier"),
        (
            "2025-01-06T00:00:00Z",
            "2025-01-06T00:00:00",
            "completed_at '2025-01-06T00:00:00' is no date and time with a zone",
        ),
        ("2025-01-06T00:00:00Z", "2025-02-30T00:00:00Z", "completed_at"),
        ("2025-01-13T08:00:00+08:00", "0001-01-01T00:00:00+14:00", "after_sale_ends_at"),
        ("USD,", "", "it has 7 fields, and the first line has 8"),
        ("o1", '"o1"x', "expected"),
    ],
)
async def test_a_bad_row_ends_the_import_with_its_file_line_and_fault(
    systems: Systems, monkeypatch: pytest.MonkeyPatch, old: str, new: str, says: str
) -> None:
    monkeypatch.setattr(limits, "LOAD_ROW_COUNT", 1)
    good = [GOOD_ROW.replace("o1", "g1"), GOOD_ROW.replace("o1", "g2")]
    with pytest.raises(BadRowError) as raised:
        await systems.load(*good, GOOD_ROW.replace(old, new, 1), GOOD_ROW.replace("o1", "g3"))
    message = str(raised.value)
    assert message.startswith(f"{systems.file}, line 4: ")
    assert says in message
    assert "2 orders before it are imported" in message
    assert "\n" not in message
    assert await systems.order_ids() == ["g1", "g2"]


async def test_a_column_that_is_missing_is_named(systems: Systems) -> None:
    with pytest.raises(OrderFileError, match=r"lacks the column currency, status\.$"):
        await systems.load(GOOD_ROW, header=HEADER.replace("currency,status,", ""))


@pytest.mark.parametrize("content", [b"", b"\n"])
async def test_an_empty_file_is_no_order_file(systems: Systems, content: bytes) -> None:
    systems.file.write_bytes(content)
    with pytest.raises(OrderFileError, match="is no order file"):
        await import_file(systems.file, systems.order_center, systems.fund_platform)


async def test_a_file_that_is_not_text_says_so(systems: Systems) -> None:
    systems.file.write_bytes(HEADER.encode() + b"\n\xff\xfe,A1\n")
    with pytest.raises(OrderFileError, match="it is not UTF-8 text"):
        await import_file(systems.file, systems.order_center, systems.fund_platform)


async def test_a_file_that_is_not_there_says_so(systems: Systems) -> None:
    with pytest.raises(OrderFileError, match=r"orders\.csv cannot be read: No such file or directory\."):
        await import_file(systems.file, systems.order_center, systems.fund_platform)


async def test_progress_ends_at_the_size_of_the_file(systems: Systems, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LOAD_ROW_COUNT", 2)
    await systems.load(*(GOOD_ROW.replace("o1", f"o{n}") for n in range(5)))
    seen: list[int] = []
    await import_file(systems.file, systems.order_center, systems.fund_platform, seen.append)
    assert len(seen) == 3
    assert seen == sorted(seen)
    assert seen[-1] == systems.file.stat().st_size
