"""The rules by which an order may be credited. The first failing rule gives the reason code.

The order of the rules is fixed and documented in docs/glossary.md: whether the order has a record, whether the
announcement agrees with it, then the record's status, dates and amount.
"""

from collections.abc import Sequence
from datetime import datetime
from types import MappingProxyType

from domain.limits import ORDER_AMOUNT_MINOR_MAX
from schemas.items import Item
from schemas.orders import FetchedRecord, OrderStatus
from schemas.tables import columns_of
from schemas.wire.reasons import ReasonCode

_REASON_BY_STATUS = MappingProxyType(
    {
        OrderStatus.CANCELLED: ReasonCode.ORDER_CANCELLED,
        OrderStatus.UNPAID: ReasonCode.ORDER_UNPAID,
        OrderStatus.DISPUTED: ReasonCode.ORDER_DISPUTED,
        OrderStatus.REFUNDING: ReasonCode.REFUND_IN_PROGRESS,
    }
)


def due_minor_of(paid_minor: int, refunded_minor: int) -> int:
    """Return what a customer is due for an order, in minor units of its currency: paid less refunded.

    The Order Center's database computes the same (`orders.due_minor`). The contract suite checks that they agree.
    """
    return paid_minor - refunded_minor


def find_rejects(
    items: Sequence[Item], records: Sequence[FetchedRecord], cutoff_at: datetime
) -> list[tuple[Item, ReasonCode]]:
    """Return the items that may not be credited, in the given order, each with the first failing rule's reason.

    The records may be in any order. An order without one is unknown. The after-sale period is over if it ended before
    the cutoff, not at it. An unknown currency has a limit of zero.

    Raises:
        ValueError: a record has an unknown status.
    """
    _, order_ids, account_ids, amounts_minor, currencies, _, _ = columns_of(Item, items)
    record_columns = columns_of(FetchedRecord, records)
    record_of = dict(zip(record_columns[0], zip(*record_columns, strict=True), strict=True)).get
    limit_of, completed = ORDER_AMOUNT_MINOR_MAX.get, str(OrderStatus.COMPLETED)
    announced = zip(order_ids, account_ids, amounts_minor, currencies, strict=True)
    # One loop over whole columns. A function call and two rows for each order cost twice as much.
    rejects = []
    for place, (order_id, account_id, amount_minor, currency) in enumerate(announced):
        record = record_of(order_id)
        if record is None:
            rejects.append((items[place], ReasonCode.ORDER_UNKNOWN))
            continue
        _, recorded_account_id, paid_minor, refunded_minor, recorded_currency, status, after_sale_ends_at, _ = record
        due_minor = due_minor_of(paid_minor, refunded_minor)
        if account_id != recorded_account_id:
            reason = ReasonCode.ACCOUNT_DIFFERS
        elif amount_minor != due_minor:
            reason = ReasonCode.AMOUNT_DIFFERS
        elif currency != recorded_currency:
            reason = ReasonCode.CURRENCY_DIFFERS
        elif status != completed:
            reason = _REASON_BY_STATUS[OrderStatus(status)]
        elif after_sale_ends_at >= cutoff_at:
            reason = ReasonCode.AFTER_SALE_NOT_OVER
        elif not 0 < due_minor <= limit_of(currency, 0):
            reason = _amount_reason(paid_minor, refunded_minor)
        else:
            continue
        rejects.append((items[place], reason))
    return rejects


def _amount_reason(paid_minor: int, refunded_minor: int) -> ReasonCode:
    """Return the reason for an amount that is not positive, or is over the limit."""
    if refunded_minor == paid_minor > 0:
        return ReasonCode.FULLY_REFUNDED
    return ReasonCode.AMOUNT_NOT_POSITIVE if paid_minor <= refunded_minor else ReasonCode.AMOUNT_OVER_LIMIT
