"""Each rule rejects what it should, and the first failing rule in the documented order gives the reason."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.limits import ORDER_AMOUNT_MINOR_MAX
from domain.order_rules import find_rejects
from schemas.items import Item
from schemas.orders import FetchedRecord, OrderStatus
from schemas.wire.reasons import ReasonCode

CUTOFF = datetime(2026, 11, 22, tzinfo=UTC)
CURRENCIES = ["USD", "JPY", "XXX"]
LIMIT = ORDER_AMOUNT_MINOR_MAX["USD"]

RECORD = FetchedRecord("o1", "A1", 1000, 100, "USD", "completed", CUTOFF - timedelta(microseconds=1), 1)

# The documented order. A change would change what finance people read.
DOCUMENTED_ORDER = [
    "ACCOUNT_DIFFERS",
    "AMOUNT_DIFFERS",
    "CURRENCY_DIFFERS",
    "ORDER_CANCELLED",
    "ORDER_UNPAID",
    "ORDER_DISPUTED",
    "REFUND_IN_PROGRESS",
    "AFTER_SALE_NOT_OVER",
    "FULLY_REFUNDED",
    "AMOUNT_NOT_POSITIVE",
    "AMOUNT_OVER_LIMIT",
]

Pair = tuple[Item, FetchedRecord]
Change = Callable[[Pair], Pair]


def rejection_reason(item: Item, record: FetchedRecord | None, cutoff_at: datetime) -> ReasonCode | None:
    """Return why an order may not be credited. It is judged beside accepted and unknown orders, in mixed order."""
    beside = RECORD._replace(order_id="beside")
    items = [announced(RECORD, order_id="lost"), item, announced(beside)]
    rejects = find_rejects(items, [beside, record] if record else [beside], cutoff_at)
    assert rejects[0] == (items[0], ReasonCode.ORDER_UNKNOWN)
    assert [rejected for rejected, _ in rejects[1:]] in ([], [item])
    return rejects[1][1] if rejects[1:] else None


def announced(record: FetchedRecord, **changes: Any) -> Item:
    """Return the item of an order that was announced as its record says."""
    amount_minor = record.paid_minor - record.refunded_minor
    return Item(0, record.order_id, record.account_id, amount_minor, record.currency, 1)._replace(**changes)


def recorded(**changes: Any) -> Change:
    """Change the record, and announce the order as the changed record says. Other wrong announcements stay."""

    def change(pair: Pair) -> Pair:
        item, before = pair
        record = before._replace(**changes)
        untouched = announced(before)
        wrong = {field: value for field, value in item._asdict().items() if value != untouched._asdict()[field]}
        return announced(record, **wrong), record

    return change


CHANGES: dict[str, Change] = {
    "ACCOUNT_DIFFERS": lambda pair: (pair[0]._replace(account_id="A2"), pair[1]),
    "AMOUNT_DIFFERS": lambda pair: (pair[0]._replace(amount_minor=901), pair[1]),
    "CURRENCY_DIFFERS": lambda pair: (pair[0]._replace(currency="EUR"), pair[1]),
    "ORDER_CANCELLED": recorded(status=OrderStatus.CANCELLED),
    "ORDER_UNPAID": recorded(status=OrderStatus.UNPAID),
    "ORDER_DISPUTED": recorded(status=OrderStatus.DISPUTED),
    "REFUND_IN_PROGRESS": recorded(status=OrderStatus.REFUNDING),
    "AFTER_SALE_NOT_OVER": recorded(after_sale_ends_at=CUTOFF),
    "FULLY_REFUNDED": recorded(refunded_minor=1000),
    "AMOUNT_NOT_POSITIVE": recorded(paid_minor=0, refunded_minor=0),
    "AMOUNT_OVER_LIMIT": recorded(paid_minor=LIMIT + 101),
}


# Each rule, stated a second time.
FAILS: dict[str, Callable[[Item, FetchedRecord], bool]] = {
    "ACCOUNT_DIFFERS": lambda item, record: item.account_id != record.account_id,
    "AMOUNT_DIFFERS": lambda item, record: item.amount_minor != record.paid_minor - record.refunded_minor,
    "CURRENCY_DIFFERS": lambda item, record: item.currency != record.currency,
    "ORDER_CANCELLED": lambda _, record: record.status == "cancelled",
    "ORDER_UNPAID": lambda _, record: record.status == "unpaid",
    "ORDER_DISPUTED": lambda _, record: record.status == "disputed",
    "REFUND_IN_PROGRESS": lambda _, record: record.status == "refunding",
    "AFTER_SALE_NOT_OVER": lambda _, record: not record.after_sale_ends_at < CUTOFF,
    "FULLY_REFUNDED": lambda _, record: record.paid_minor > 0 and record.refunded_minor == record.paid_minor,
    "AMOUNT_NOT_POSITIVE": lambda _, record: not record.paid_minor > record.refunded_minor,
    "AMOUNT_OVER_LIMIT": lambda _, record: (
        record.paid_minor - record.refunded_minor > ORDER_AMOUNT_MINOR_MAX.get(record.currency, 0)
    ),
}


def fails(code: str, pair: Pair) -> bool:
    return FAILS[code](*pair)


@given(
    item=st.builds(
        Item, st.just(0), st.just("o1"), st.sampled_from(["A1", "A2"]), st.integers(-1, 2), st.sampled_from(CURRENCIES)
    ),
    record=st.builds(
        FetchedRecord,
        st.just("o1"),
        st.sampled_from(["A1", "A2"]),
        st.sampled_from([0, 1, 2, LIMIT, LIMIT + 1]),
        st.integers(0, 2),
        st.sampled_from(CURRENCIES),
        st.sampled_from(list(OrderStatus)),
        st.sampled_from([CUTOFF, CUTOFF - timedelta(microseconds=1)]),
        st.just(1),
    ),
    is_amount_announced=st.booleans(),
)
def test_the_reason_is_the_first_failing_rule_of_the_documented_order(
    item: Item, record: FetchedRecord, *, is_amount_announced: bool
) -> None:
    if is_amount_announced:
        item = item._replace(amount_minor=record.paid_minor - record.refunded_minor)
    first = next((code for code in DOCUMENTED_ORDER if fails(code, (item, record))), None)
    assert rejection_reason(item, record, CUTOFF) == first


def test_an_order_of_an_unknown_status_is_an_error_of_its_data_and_not_credited() -> None:
    with pytest.raises(ValueError, match="'lost' is not a valid OrderStatus"):
        rejection_reason(announced(RECORD), RECORD._replace(status="lost"), CUTOFF)


def test_an_order_with_nothing_wrong_is_accepted() -> None:
    assert rejection_reason(announced(RECORD), RECORD, CUTOFF) is None


@pytest.mark.parametrize("code", DOCUMENTED_ORDER)
def test_one_thing_wrong_gives_its_own_reason(code: str) -> None:
    assert rejection_reason(*CHANGES[code]((announced(RECORD), RECORD)), CUTOFF) == code


@pytest.mark.parametrize(("first", "second"), list(combinations(DOCUMENTED_ORDER, 2)))
def test_of_two_things_wrong_the_first_in_the_documented_order_is_the_reason(first: str, second: str) -> None:
    pair = CHANGES[first](CHANGES[second]((announced(RECORD), RECORD)))
    if not (fails(first, pair) and fails(second, pair)):
        pair = CHANGES[second](CHANGES[first]((announced(RECORD), RECORD)))
    if fails(first, pair) and fails(second, pair):  # an order has one status and one amount
        assert rejection_reason(*pair, CUTOFF) == first
    else:
        assert {first, second} <= set(DOCUMENTED_ORDER[3:7]) or {first, second} <= set(DOCUMENTED_ORDER[8:])


def test_an_order_without_a_record_is_unknown() -> None:
    assert rejection_reason(announced(RECORD), None, CUTOFF) is ReasonCode.ORDER_UNKNOWN


@pytest.mark.parametrize(
    ("changes", "reason_code"),
    [
        ({"paid_minor": LIMIT, "refunded_minor": 0}, None),
        ({"paid_minor": LIMIT + 100, "refunded_minor": 100}, None),
        ({"paid_minor": LIMIT + 1, "refunded_minor": 0}, ReasonCode.AMOUNT_OVER_LIMIT),
        ({"paid_minor": 1, "refunded_minor": 0}, None),
        ({"paid_minor": 0, "refunded_minor": 0}, ReasonCode.AMOUNT_NOT_POSITIVE),
        ({"paid_minor": 100, "refunded_minor": 101}, ReasonCode.AMOUNT_NOT_POSITIVE),
        ({"currency": "XXX"}, ReasonCode.AMOUNT_OVER_LIMIT),
        ({"after_sale_ends_at": CUTOFF + timedelta(microseconds=1)}, ReasonCode.AFTER_SALE_NOT_OVER),
        ({"after_sale_ends_at": CUTOFF - timedelta(microseconds=1)}, None),
    ],
)
def test_the_edges_of_amounts_and_dates(changes: dict[str, Any], reason_code: ReasonCode | None) -> None:
    record = RECORD._replace(**changes)
    assert rejection_reason(announced(record), record, CUTOFF) == reason_code
