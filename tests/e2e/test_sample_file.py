"""`settle sample` writes the same file for the same seed, with an expectation that any reader of the file can check."""

import csv
import hashlib
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from domain import limits
from domain.order_rules import find_rejects
from schemas.items import Item
from schemas.orders import FetchedRecord

ORDER_COUNT = 100_000
BAD_COUNT = 2_000
FORMERLY = datetime(2025, 4, 1, tzinfo=UTC)  # every order was overdue by then

# The reasons that an order file can cause.
REASONS = [
    "ACCOUNT_CURRENCY_DIFFERS",
    "AMOUNT_NOT_POSITIVE",
    "AMOUNT_OVER_LIMIT",
    "FULLY_REFUNDED",
    "ORDER_CANCELLED",
    "ORDER_DISPUTED",
    "ORDER_UNPAID",
    "REFUND_IN_PROGRESS",
]


def run_sample(file: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("settle")), "sample", str(file), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)


def written(file: Path, *arguments: str) -> tuple[str, str]:
    """Return the checksums of a new sample and of its expectation."""
    completed = run_sample(file, *arguments)
    assert completed.returncode == 0, completed.stderr
    first, second = (
        hashlib.sha256(path.read_bytes()).hexdigest() for path in (file, file.with_suffix(".expected.json"))
    )
    return first, second


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("sample") / "orders.csv"
    completed = run_sample(file, "--orders", str(ORDER_COUNT), "--seed", "7")
    assert completed.returncode == 0, completed.stderr
    assert "100,000 orders" in completed.stdout
    assert "2,000 of them bad" in completed.stdout
    return file


def rows_of(file: Path) -> Iterator[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as lines:
        yield from csv.DictReader(lines)


def expected_of(file: Path) -> dict[str, Any]:
    expected: dict[str, Any] = json.loads(file.with_suffix(".expected.json").read_text(encoding="utf-8"))
    return expected


def reason_by_hand(row: dict[str, str], account_currency: str) -> str | None:
    """Return a row's reason according to the documentation, without Settle's code."""
    paid, refunded = int(row["paid_minor"]), int(row["refunded_minor"])
    limit = {"CNY": 5_000_000, "EUR": 1_000_000, "GBP": 1_000_000, "JPY": 1_000_000, "PTS": 1_000_000, "USD": 1_000_000}
    verdicts = {
        "ORDER_CANCELLED": row["status"] == "cancelled",
        "ORDER_UNPAID": row["status"] == "unpaid",
        "ORDER_DISPUTED": row["status"] == "disputed",
        "REFUND_IN_PROGRESS": row["status"] == "refunding",
        "FULLY_REFUNDED": paid == refunded > 0,
        "AMOUNT_NOT_POSITIVE": paid <= refunded,
        "AMOUNT_OVER_LIMIT": paid - refunded > limit[row["currency"]],
        "ACCOUNT_CURRENCY_DIFFERS": row["currency"] != account_currency,
    }
    return next((reason for reason, applies in verdicts.items() if applies), None)


def reason_by_the_rules(row: dict[str, str], account_currency: str) -> str | None:
    paid, refunded = int(row["paid_minor"]), int(row["refunded_minor"])
    ends_at = datetime.fromisoformat(row["after_sale_ends_at"])
    record = FetchedRecord(
        row["order_id"], row["account_id"], paid, refunded, row["currency"], row["status"], ends_at, version=1
    )
    item = Item(0, row["order_id"], row["account_id"], paid - refunded, row["currency"], 1)
    for _, reason_code in find_rejects([item], [record], FORMERLY):
        return reason_code
    return "ACCOUNT_CURRENCY_DIFFERS" if row["currency"] != account_currency else None


@pytest.mark.parametrize("reason_of", [reason_by_hand, reason_by_the_rules])
def test_the_expectation_is_what_the_file_itself_gives(sample: Path, reason_of: Any) -> None:
    account_currencies: dict[str, str] = {}
    reasons: Counter[str] = Counter()
    order_counts: Counter[tuple[str, str]] = Counter()
    amounts: Counter[tuple[str, str]] = Counter()
    for row in rows_of(sample):
        account_currency = account_currencies.setdefault(row["account_id"], row["currency"])
        reason = reason_of(row, account_currency)
        outcome = "rejected" if reason else "settled"
        if reason:
            reasons[reason] += 1
        order_counts[outcome, row["currency"]] += 1
        amounts[outcome, row["currency"]] += int(row["paid_minor"]) - int(row["refunded_minor"])

    def totals(outcome: str) -> dict[str, Any]:
        currencies = sorted(currency for kind, currency in order_counts if kind == outcome)
        return {
            "order_count": sum(order_counts[outcome, currency] for currency in currencies),
            "order_count_by_currency": {currency: order_counts[outcome, currency] for currency in currencies},
            "amount_minor": {currency: amounts[outcome, currency] for currency in currencies},
        }

    assert expected_of(sample) == {
        "orders": ORDER_COUNT,
        "settled": totals("settled"),
        "rejected": totals("rejected"),
        "reasons": dict(reasons),
    }


def test_of_100000_orders_2000_are_bad_for_every_reason_that_a_file_can_give(
    sample: Path,
) -> None:
    expected = expected_of(sample)
    assert expected["rejected"]["order_count"] == BAD_COUNT
    assert expected["settled"]["order_count"] == ORDER_COUNT - BAD_COUNT
    assert expected["reasons"] == dict.fromkeys(REASONS, BAD_COUNT // len(REASONS))


def test_orders_are_unique_overdue_and_in_every_known_currency(sample: Path) -> None:
    rows = list(rows_of(sample))
    assert len({row["order_id"] for row in rows}) == ORDER_COUNT
    assert max(datetime.fromisoformat(row["after_sale_ends_at"]) for row in rows) < FORMERLY
    assert all(row["completed_at"] < row["after_sale_ends_at"] for row in rows)
    assert {row["currency"] for row in rows} == set(limits.ORDER_AMOUNT_MINOR_MAX)
    assert all(1 <= len(row["order_id"]) <= limits.IDENTIFIER_LENGTH_MAX for row in rows)


def test_a_few_accounts_take_thousands_of_orders_and_most_take_one(sample: Path) -> None:
    counts = sorted(Counter(row["account_id"] for row in rows_of(sample)).values(), reverse=True)
    assert [count for count in counts if count >= 1_000] == counts[:4]
    assert counts[0] > 4_000
    assert counts.count(1) > len(counts) / 2
    assert counts[4] < 1_000


def test_bad_orders_lie_all_over_the_file(sample: Path) -> None:
    places = [n for n, row in enumerate(rows_of(sample)) if reason_by_hand(row, row["currency"])]
    assert places[0] < ORDER_COUNT / 100
    assert places[-1] > ORDER_COUNT * 0.99
    assert max(after - before for before, after in pairwise(places)) < ORDER_COUNT / 100


def test_the_same_seed_gives_the_same_bytes_and_another_one_other_orders(tmp_path: Path) -> None:
    arguments = ("--orders", "2000", "--seed")
    one = written(tmp_path / "one.csv", *arguments, "5")
    assert written(tmp_path / "same.csv", *arguments, "5") == one
    other = written(tmp_path / "other.csv", *arguments, "6")
    assert other[0] != one[0]
    ids = [{row["order_id"] for row in rows_of(tmp_path / name)} for name in ("one.csv", "other.csv")]
    assert ids[0].isdisjoint(ids[1])


def test_samples_of_two_seeds_agree_on_the_currency_of_every_account(tmp_path: Path) -> None:
    currencies: dict[str, str] = {}
    for seed in ("1", "2"):
        written(tmp_path / f"{seed}.csv", "--orders", "3000", "--seed", seed, "--bad-rate", "0")
        for row in rows_of(tmp_path / f"{seed}.csv"):
            assert currencies.setdefault(row["account_id"], row["currency"]) == row["currency"]


@pytest.mark.parametrize(
    ("orders", "bad_rate", "bad_count"),
    [("1", "0", 0), ("1", "1", 1), ("7", "1", 7), ("40", "1", 40), ("150", "0.02", 3), ("1000", "0.0333", 33)],
)
def test_the_number_of_bad_orders_is_exact(tmp_path: Path, orders: str, bad_rate: str, bad_count: int) -> None:
    file = tmp_path / "orders.csv"
    written(file, "--orders", orders, "--seed", "3", "--bad-rate", bad_rate)
    account_currencies: dict[str, str] = {}
    reasons = [
        reason_by_hand(row, account_currencies.setdefault(row["account_id"], row["currency"])) for row in rows_of(file)
    ]
    assert len(reasons) == int(orders)
    assert len([reason for reason in reasons if reason]) == bad_count
    assert expected_of(file)["rejected"]["order_count"] == bad_count


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("orders.csv", "--orders", "0"), "Invalid value for '--orders'"),
        (("orders.csv", "--orders", "10", "--bad-rate", "1.5"), "Invalid value for '--bad-rate'"),
        (("orders.csv", "--orders", "10", "--seed", "-1"), "Invalid value for '--seed'"),
        (("missing/orders.csv", "--orders", "10"), "could not be written: No such file or directory"),
        (("orders.csv",), "Missing option '--orders'"),
    ],
)
def test_a_wrong_call_writes_nothing_and_ends_with_2_and_a_sentence(
    tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    completed = run_sample(tmp_path / arguments[0], *arguments[1:])
    assert completed.returncode == 2
    assert "Traceback" not in completed.stderr
    assert sentence in completed.stderr
    assert not list(tmp_path.iterdir())
