"""An order file with good and bad rows in any order loads exactly the good ones and rejects the others."""

import asyncio
import csv
import tempfile
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from domain import limits
from schemas.orders import OrderRecord
from settling.importing import ImportResult, import_file
from settling.importing.order_file import open_order_file
from tests.doubles.fund_platform import MemoryFundPlatform
from tests.doubles.order_center import MemoryOrderCenter

ORDER_NO_COUNT = 6


class Line(NamedTuple):
    """A line of a file, with the order's number and what was paid if the line alone is good."""

    text: bytes
    order_no: int | None = None
    paid_minor: int = 0


def row_of(order_no: int, paid_minor: object, currency: str = "USD") -> bytes:
    moments = b"2025-01-06T00:00:00Z,2025-01-13T00:00:00Z"
    return f"o{order_no},A1,{paid_minor},0,{currency},completed,".encode() + moments


ORDER_NOS = st.integers(0, ORDER_NO_COUNT - 1)
GOOD_LINES = st.builds(lambda no, paid: Line(row_of(no, paid), no, paid), ORDER_NOS, st.integers(0, 3))
BAD_LINES = st.one_of(
    st.builds(lambda no: Line(row_of(no, -1)), ORDER_NOS),
    st.builds(lambda no: Line(row_of(no, 1, "XXX")), ORDER_NOS),
    st.builds(lambda no: Line(b'"' + row_of(no, 1)), ORDER_NOS),
    st.builds(lambda no: Line(row_of(no, 1) + b'"'), ORDER_NOS),
    st.builds(lambda no: Line(row_of(no, 1) + b",more"), ORDER_NOS),
    st.builds(lambda no: Line(b"\xff\xfe" + row_of(no, 1)), ORDER_NOS),
    st.builds(lambda no: Line(row_of(no, 1) + b"\0"), ORDER_NOS),
    st.builds(
        lambda no, n: Line(row_of(no, "1" * (limits.ORDER_LINE_BYTES_MAX + n))), ORDER_NOS, st.integers(-90, 9000)
    ),
    # Whatever it is, it is not an order, because it lacks the seven commas.
    st.binary(min_size=1, max_size=20).map(lambda noise: Line(b"!" + noise.replace(b"\n", b"").replace(b",", b""))),
)


def import_lines(
    directory: str, lines: list[Line], line_end: bytes, slice_size: int
) -> tuple[ImportResult, dict[str, int], list[int]]:
    """Return the result, the amount paid for each loaded order, and the numbers of the rejected lines."""
    file = Path(directory) / "orders.csv"
    header = ",".join(OrderRecord._fields).encode()
    file.write_bytes(line_end.join([header, *(line.text for line in lines)]))
    order_center = MemoryOrderCenter()

    async def load() -> tuple[ImportResult, dict[str, int]]:
        with open_order_file(file) as order_file:
            result = await import_file(order_file, order_center, MemoryFundPlatform().accounts)
        records = await order_center.fetch_records([f"o{no}" for no in range(ORDER_NO_COUNT)])
        return result, {record.order_id: record.paid_minor for record in records}

    with patch.object(limits, "LOAD_ROW_COUNT", slice_size):
        result, paid = asyncio.run(load())
    if result.rejected_file is None:
        return result, paid, []
    with Path(result.rejected_file).open(encoding="utf-8", newline="") as rows:
        return result, paid, [int(row["line"]) for row in csv.DictReader(rows, strict=True)]


FILES = st.tuples(st.lists(GOOD_LINES, max_size=20), st.lists(BAD_LINES, max_size=10)).flatmap(
    lambda lines: st.permutations([*lines[0], *lines[1]])
)


@given(FILES, st.sampled_from([b"\n", b"\r\n"]), st.integers(1, 12))
def test_exactly_the_good_rows_are_loaded_and_exactly_the_bad_lines_rejected(
    lines: list[Line], line_end: bytes, slice_size: int
) -> None:
    first_paid: dict[str, int] = {}
    bad_line_nos = []
    for line_no, line in enumerate(lines, 2):
        if line.order_no is None or first_paid.setdefault(f"o{line.order_no}", line.paid_minor) != line.paid_minor:
            bad_line_nos.append(line_no)
    with tempfile.TemporaryDirectory() as directory:
        result, paid, rejected_line_nos = import_lines(directory, lines, line_end, slice_size)
    assert paid == first_paid
    assert rejected_line_nos == bad_line_nos
    assert (result.orders, result.bad_rows) == (len(first_paid), len(bad_line_nos))
    assert result.announced.amount_minor.get("USD", 0) == sum(first_paid.values())
