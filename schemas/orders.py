"""Orders in the Order Center: records, and offers of overdue orders."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple


class OrderStatus(StrEnum):
    """The status of an order in the Order Center. Only `completed` is payable."""

    COMPLETED = "completed"
    UNPAID = "unpaid"
    DISPUTED = "disputed"
    REFUNDING = "refunding"
    CANCELLED = "cancelled"


class OrderRecord(NamedTuple):
    """A record to load into the Order Center. Amounts are in minor units of `currency`."""

    order_id: str
    account_id: str
    paid_minor: int
    refunded_minor: int
    currency: str
    status: str
    completed_at: datetime
    after_sale_ends_at: datetime


class FetchedRecord(NamedTuple):
    """The part of an order's record that Settle reads. Amounts are in minor units of `currency`."""

    order_id: str
    account_id: str
    paid_minor: int
    refunded_minor: int
    currency: str
    status: str
    after_sale_ends_at: datetime
    version: int


class OverdueOrder(NamedTuple):
    """An overdue order that the Order Center offers. `version` is that of the record that was read."""

    order_id: str
    account_id: str
    amount_minor: int
    currency: str
    version: int


class OverdueCursor(NamedTuple):
    """The position of the last order of a slice. The next slice starts after it."""

    after_sale_ends_at: datetime
    order_id: str


class OverdueSlice(NamedTuple):
    """The next overdue orders, and the position of the last one. `end` is None if there are no orders."""

    orders: Sequence[OverdueOrder]
    end: OverdueCursor | None


class RecordVersion(NamedTuple):
    """A version of an order's record. An acknowledgement names it and so never covers a later change."""

    order_id: str
    version: int
