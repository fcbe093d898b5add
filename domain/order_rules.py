"""May this order be credited? One pure function a rule; the first failing rule gives the reason.

The order of `RULES` is fixed and documented in docs/glossary.md: what is known of the order at all, then
whether the announcement agrees with the record, then the record's status, its dates, and last its amount.
"""

from collections.abc import Callable
from datetime import datetime

from domain.limits import ORDER_AMOUNT_MINOR_MAX
from schemas.batches import Item
from schemas.orders import OrderStatus, TransactionRecord
from schemas.reasons import ReasonCode


def credit_amount_minor(record: TransactionRecord) -> int:
    """What the customer is due: paid less refunded, in minor units."""
    return record.paid_minor - record.refunded_minor


def account_differs(item: Item, record: TransactionRecord, _cutoff_at: datetime) -> bool:
    """The announced account is not the record's."""
    return item.account_id != record.account_id


def amount_differs(item: Item, record: TransactionRecord, _cutoff_at: datetime) -> bool:
    """The announced amount is not what the record gives."""
    return item.amount_minor != record.paid_minor - record.refunded_minor


def currency_differs(item: Item, record: TransactionRecord, _cutoff_at: datetime) -> bool:
    """The announced currency is not the record's."""
    return item.currency != record.currency


def is_cancelled(_item: Item, record: TransactionRecord, _cutoff_at: datetime) -> bool:
    """The order was cancelled."""
    return record.status == OrderStatus.CANCELLED


def is_unpaid(_item: Item, record: TransactionRecord, _cutoff_at: datetime) -> bool:
    """The order was never paid."""
    return record.status == OrderStatus.UNPAID


def is_disputed(_item: Item, record: TransactionRecord, _cutoff_at: datetime) -> bool:
    """The customer disputes the order."""
    return record.status == OrderStatus.DISPUTED


def is_refund_in_progress(_item: Item, record: TransactionRecord, _cutoff_at: datetime) -> bool:
    """A refund is under way."""
    return record.status == OrderStatus.REFUNDING


def is_after_sale_open(_item: Item, record: TransactionRecord, cutoff_at: datetime) -> bool:
    """The after-sale period is over if it ended before the cutoff; an end at the cutoff itself is not over."""
    return record.after_sale_ends_at >= cutoff_at


def is_fully_refunded(_item: Item, record: TransactionRecord, _cutoff_at: datetime) -> bool:
    """Something was paid and all of it was refunded."""
    return record.paid_minor > 0 and record.refunded_minor == record.paid_minor


def is_amount_not_positive(_item: Item, record: TransactionRecord, _cutoff_at: datetime) -> bool:
    """Nothing is left to credit."""
    return credit_amount_minor(record) <= 0


def is_amount_over_limit(_item: Item, record: TransactionRecord, _cutoff_at: datetime) -> bool:
    """The amount is over its currency's limit for one order; an unknown currency has a limit of zero."""
    return credit_amount_minor(record) > ORDER_AMOUNT_MINOR_MAX.get(record.currency, 0)


Rule = Callable[[Item, TransactionRecord, datetime], bool]

ANNOUNCEMENT_RULES: tuple[tuple[Rule, ReasonCode], ...] = (
    (account_differs, ReasonCode.ACCOUNT_DIFFERS),
    (amount_differs, ReasonCode.AMOUNT_DIFFERS),
    (currency_differs, ReasonCode.CURRENCY_DIFFERS),
)
# Looked at only if the order is not payable, as few are not.
STATUS_RULES: tuple[tuple[Rule, ReasonCode], ...] = (
    (is_cancelled, ReasonCode.ORDER_CANCELLED),
    (is_unpaid, ReasonCode.ORDER_UNPAID),
    (is_disputed, ReasonCode.ORDER_DISPUTED),
    (is_refund_in_progress, ReasonCode.REFUND_IN_PROGRESS),
)
CREDIT_RULES: tuple[tuple[Rule, ReasonCode], ...] = (
    (is_after_sale_open, ReasonCode.AFTER_SALE_NOT_OVER),
    (is_fully_refunded, ReasonCode.FULLY_REFUNDED),
    (is_amount_not_positive, ReasonCode.AMOUNT_NOT_POSITIVE),
    (is_amount_over_limit, ReasonCode.AMOUNT_OVER_LIMIT),
)
RULES = (*ANNOUNCEMENT_RULES, *STATUS_RULES, *CREDIT_RULES)


def rejection_reason(item: Item, record: TransactionRecord | None, cutoff_at: datetime) -> ReasonCode | None:
    """The first failing rule's reason, or None for an order that may be credited."""
    if record is None:
        return ReasonCode.ORDER_UNKNOWN
    for fails, reason_code in ANNOUNCEMENT_RULES:
        if fails(item, record, cutoff_at):
            return reason_code
    if record.status != OrderStatus.COMPLETED:
        for fails, reason_code in STATUS_RULES:
            if fails(item, record, cutoff_at):
                return reason_code
    for fails, reason_code in CREDIT_RULES:
        if fails(item, record, cutoff_at):
            return reason_code
    return None
