"""Orders as the Order Center knows and offers them."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple


class OrderStatus(StrEnum):
    """What the Order Center says of an order; only `completed` is payable."""

    COMPLETED = "completed"
    UNPAID = "unpaid"
    DISPUTED = "disputed"
    REFUNDING = "refunding"
    CANCELLED = "cancelled"


class OrderRecord(NamedTuple):
    """A record to load into the Order Center; amounts in minor units of `currency`."""

    order_id: str
    account_id: str
    paid_minor: int
    refunded_minor: int
    currency: str
    status: str
    completed_at: datetime
    after_sale_ends_at: datetime


class FetchedRecord(NamedTuple):
    """What is read of an order's record; amounts in minor units of `currency`. `version` is that of the record."""

    order_id: str
    account_id: str
    paid_minor: int
    refunded_minor: int
    currency: str
    status: str
    after_sale_ends_at: datetime
    version: int


class OverdueOrder(NamedTuple):
    """An overdue order as the Order Center offers it; `version` is that of the record that was read."""

    order_id: str
    account_id: str
    amount_minor: int
    currency: str
    version: int


class OverdueCursor(NamedTuple):
    """The place of the last order of a slice; the next slice starts after it."""

    after_sale_ends_at: datetime
    order_id: str


class OverdueSlice(NamedTuple):
    """The next overdue orders, and the place of the last; None if there are none."""

    orders: Sequence[OverdueOrder]
    end: OverdueCursor | None


class RecordVersion(NamedTuple):
    """An order's record as it was read; an acknowledgement names it, so that it never covers a later change."""

    order_id: str
    version: int
