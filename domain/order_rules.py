"""May this order be credited? The first failing rule gives the reason.

The order of the rules is fixed and documented in docs/glossary.md: what is known of the order at all, then
whether the announcement agrees with the record, then the record's status, its dates, and last its amount.
"""

from datetime import datetime
from types import MappingProxyType

from domain.limits import ORDER_AMOUNT_MINOR_MAX
from schemas.batches import Item
from schemas.orders import OrderStatus, TransactionRecord
from schemas.reasons import ReasonCode

_REASON_BY_STATUS = MappingProxyType(
    {
        OrderStatus.CANCELLED: ReasonCode.ORDER_CANCELLED,
        OrderStatus.UNPAID: ReasonCode.ORDER_UNPAID,
        OrderStatus.DISPUTED: ReasonCode.ORDER_DISPUTED,
        OrderStatus.REFUNDING: ReasonCode.REFUND_IN_PROGRESS,
    }
)


def credit_amount_minor(record: TransactionRecord) -> int:
    """What the customer is due: paid less refunded, in minor units."""
    return record.paid_minor - record.refunded_minor


def rejection_reason(item: Item, record: TransactionRecord | None, cutoff_at: datetime) -> ReasonCode | None:
    """The first failing rule's reason, or None for an order that may be credited.

    The after-sale period is over if it ended before the cutoff; an end at the cutoff itself is not over. A currency
    that is not known has a limit of zero.

    Raises:
        ValueError: the record has a status that Settle does not know.
    """
    if record is None:
        return ReasonCode.ORDER_UNKNOWN
    amount_minor = credit_amount_minor(record)
    if item.account_id != record.account_id:
        return ReasonCode.ACCOUNT_DIFFERS
    if item.amount_minor != amount_minor:
        return ReasonCode.AMOUNT_DIFFERS
    if item.currency != record.currency:
        return ReasonCode.CURRENCY_DIFFERS
    if record.status != OrderStatus.COMPLETED:
        return _REASON_BY_STATUS[OrderStatus(record.status)]
    if record.after_sale_ends_at >= cutoff_at:
        return ReasonCode.AFTER_SALE_NOT_OVER
    if record.refunded_minor == record.paid_minor > 0:
        return ReasonCode.FULLY_REFUNDED
    if amount_minor <= 0:
        return ReasonCode.AMOUNT_NOT_POSITIVE
    if amount_minor > ORDER_AMOUNT_MINOR_MAX.get(record.currency, 0):
        return ReasonCode.AMOUNT_OVER_LIMIT
    return None
