"""Realistic orders, good and bad. Pure: all randomness comes from the generator that is passed in.

Every order is overdue for any run after March 2025. An account's currency depends only on its number, so samples of
different seeds can be imported together.
"""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from domain.limits import ORDER_AMOUNT_MINOR_MAX
from schemas.orders import OrderRecord, OrderStatus
from schemas.wire.reasons import ReasonCode

# Fixed dates in the past: the same seed gives the same bytes, and the orders are overdue whenever they are imported.
FIRST_COMPLETED_AT = datetime(2025, 1, 6, tzinfo=UTC)
COMPLETION_SPAN_S = 28 * 86_400
COMPLETION_JITTER_S = 3 * 86_400  # orders are not completed in the order in which they were placed
AFTER_SALE_DAYS = (7, 14, 15, 30)

# Each hot account (such as a marketplace seller) has a fixed share of the orders. Returning customers have 48 %: the
# lower an account's number, the more orders it has. The rest goes to customers who buy once.
HOT_ACCOUNT_SHARES = (0.05, 0.03, 0.02, 0.02)
RETURNING_SHARE = 0.48
RETURNING_ACCOUNT_NO = 1_000
ONE_TIME_ACCOUNT_NO = 1_000_000_000
ORDERS_PER_RETURNING_ACCOUNT = 5
RETURNING_SKEW = 50  # the higher, the flatter the head of the distribution: the first has 0.2 % of all orders

# An account's number gives its place here, which is its currency.
CURRENCIES = 8 * ("USD",) + 4 * ("EUR",) + 3 * ("CNY",) + 2 * ("GBP",) + 2 * ("PTS",) + ("JPY",)
CURRENCY_STRIDE = 7  # shares no factor with the number of places, so neighbours differ and every place is used

MEDIAN_PAID_MINOR = {"CNY": 128_00, "EUR": 32_00, "GBP": 28_00, "JPY": 4_200, "PTS": 900, "USD": 35_00}
PAID_SIGMA = 0.9
REFUND_RATE = 0.12

# The reasons that a file can cause, used in turn. ACCOUNT_CURRENCY_DIFFERS comes last: its order takes the account of
# an order before it. The others cannot come from a file: ORDER_UNKNOWN and the announcement's *_DIFFERS need an
# announcement, AFTER_SALE_NOT_OVER needs an order that is not overdue, and ACCOUNT_NOT_FOUND and ACCOUNT_CLOSED need an
# account that the import did not open.
BAD_REASONS = (
    ReasonCode.ORDER_CANCELLED,
    ReasonCode.ORDER_UNPAID,
    ReasonCode.ORDER_DISPUTED,
    ReasonCode.REFUND_IN_PROGRESS,
    ReasonCode.FULLY_REFUNDED,
    ReasonCode.AMOUNT_NOT_POSITIVE,
    ReasonCode.AMOUNT_OVER_LIMIT,
    ReasonCode.ACCOUNT_CURRENCY_DIFFERS,
)


class SampleOrder(NamedTuple):
    """An order's record and why it must be rejected, or None if it must be settled."""

    record: OrderRecord
    reason_code: ReasonCode | None


def plan_sample_orders(
    order_count: int, bad_count: int, order_id_prefix: str, rng: random.Random
) -> Iterator[SampleOrder]:
    """Yield orders, `bad_count` of them bad, spread evenly over `BAD_REASONS` and at random over the file.

    The first order of every account is in the account's currency. An import, which opens an account in the currency of
    its first order, therefore opens each in the right one.

    Args:
        order_count: the number of orders.
        bad_count: how many of them are bad; at most `order_count`.
        order_id_prefix: the start of every order id.
        rng: the source of all randomness.
    """
    bad_left = bad_count
    account_no_before = 0
    for order_no in range(order_count):
        order_id = f"{order_id_prefix}{order_no:09d}"
        completed_at = _completed_at(order_no, order_count, rng)
        account_no = _draw_account_no(order_no, order_count, rng)
        # Knuth's selection sampling: exactly bad_count, without storing their places.
        if rng.random() * (order_count - order_no) >= bad_left:
            yield SampleOrder(_good_record(order_id, account_no, currency_of(account_no), completed_at, rng), None)
        else:
            reason_code = BAD_REASONS[(bad_count - bad_left) % len(BAD_REASONS)]
            bad_left -= 1
            if reason_code is ReasonCode.ACCOUNT_CURRENCY_DIFFERS:
                other = rng.choice([currency for currency in CURRENCIES if currency != currency_of(account_no_before)])
                yield SampleOrder(_good_record(order_id, account_no_before, other, completed_at, rng), reason_code)
                continue
            record = _good_record(order_id, account_no, currency_of(account_no), completed_at, rng)
            yield SampleOrder(_spoil(record, reason_code, rng), reason_code)
        account_no_before = account_no


def currency_of(account_no: int) -> str:
    """Return the currency of an account."""
    return CURRENCIES[account_no * CURRENCY_STRIDE % len(CURRENCIES)]


def _completed_at(order_no: int, order_count: int, rng: random.Random) -> datetime:
    placed_s = order_no * COMPLETION_SPAN_S // order_count
    return FIRST_COMPLETED_AT + timedelta(seconds=placed_s + rng.randrange(COMPLETION_JITTER_S))


def _draw_account_no(order_no: int, order_count: int, rng: random.Random) -> int:
    draw = rng.random()
    for account_no, share in enumerate(HOT_ACCOUNT_SHARES):
        if draw < share:
            return account_no
        draw -= share
    if draw >= RETURNING_SHARE:
        return ONE_TIME_ACCOUNT_NO + order_no
    # Log-uniform ranks: the chance of rank r falls like 1 / (r + RETURNING_SKEW).
    returning_count = order_count / ORDERS_PER_RETURNING_ACCOUNT
    rank = RETURNING_SKEW * ((1 + returning_count / RETURNING_SKEW) ** rng.random() - 1)
    return RETURNING_ACCOUNT_NO + int(rank)


def _good_record(
    order_id: str, account_no: int, currency: str, completed_at: datetime, rng: random.Random
) -> OrderRecord:
    paid_minor = int(MEDIAN_PAID_MINOR[currency] * rng.lognormvariate(0, PAID_SIGMA))
    paid_minor = max(2, min(paid_minor, ORDER_AMOUNT_MINOR_MAX[currency]))
    return OrderRecord(
        order_id=order_id,
        account_id=f"A{account_no:010d}",
        paid_minor=paid_minor,
        refunded_minor=rng.randrange(1, paid_minor) if rng.random() < REFUND_RATE else 0,
        currency=currency,
        status=OrderStatus.COMPLETED,
        completed_at=completed_at,
        after_sale_ends_at=completed_at + timedelta(days=rng.choice(AFTER_SALE_DAYS)),
    )


def _spoil(record: OrderRecord, reason_code: ReasonCode, rng: random.Random) -> OrderRecord:
    """Return a good record changed to make this reason the first one that applies."""
    match reason_code:
        case ReasonCode.ORDER_CANCELLED:
            refunded_minor = rng.choice((0, record.paid_minor))
            return record._replace(status=OrderStatus.CANCELLED, refunded_minor=refunded_minor)
        case ReasonCode.ORDER_UNPAID:
            return record._replace(status=OrderStatus.UNPAID, paid_minor=0, refunded_minor=0)
        case ReasonCode.ORDER_DISPUTED:
            return record._replace(status=OrderStatus.DISPUTED)
        case ReasonCode.REFUND_IN_PROGRESS:
            return record._replace(status=OrderStatus.REFUNDING)
        case ReasonCode.FULLY_REFUNDED:
            return record._replace(refunded_minor=record.paid_minor)
        case ReasonCode.AMOUNT_NOT_POSITIVE:
            return record._replace(paid_minor=0, refunded_minor=0)
        case ReasonCode.AMOUNT_OVER_LIMIT:
            limit_minor = ORDER_AMOUNT_MINOR_MAX[record.currency]
            return record._replace(paid_minor=limit_minor + rng.randint(1, limit_minor), refunded_minor=0)
        case _:
            raise ValueError(f"No change of a record gives {reason_code}.")
