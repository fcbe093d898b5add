"""The orders of a seed. Each is of a kind that determines its allowed outcomes."""

from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple

from schemas.items import OfferedOrder
from schemas.ledger import AccountOpening
from schemas.orders import OrderRecord, OrderStatus
from tests.simulation.chance import Chance

CUTOFF_AT = datetime(2020, 6, 1, tzinfo=UTC)
OVER_AT = datetime(2020, 5, 1, tzinfo=UTC)
NEVER_OVER_AT = datetime(2120, 1, 1, tzinfo=UTC)
CURRENCY = "USD"
OTHER_CURRENCY = "EUR"


class Kind(StrEnum):
    """The special property of an order. The values are hashed, so another wording would change every seed."""

    GOOD = "good"
    DISPUTED = "disputed"
    REFUNDED = "refunded"
    NOT_OVER = "not over"
    UNKNOWN = "unknown"  # announced, but the Order Center has no record
    ACCOUNT_CLOSED = "account closed"
    ACCOUNT_MISSING = "account missing"
    ACCOUNT_IN_OTHER_CURRENCY = "account in another currency"
    ACCOUNT_WAVERS = "account wavers"  # closed or open, decided at each request for a credit
    RECORD_WAVERS = "record wavers"  # disputed or completed, decided at each read
    RECORD_IS_POISON = "record cannot be read"
    CREDIT_IS_POISON = "credit makes the Fund Platform raise"
    ANSWER_IS_POISON = "answer to its credit cannot be read"
    ALL_IS_POISON = "neither its credit nor the withdrawal can be asked for"
    CREDITED_BEFORE = "credited before"
    CREDITED_OTHERWISE = "credited otherwise"  # with another amount, under the same key


_WEIGHTS = {
    Kind.GOOD: 38,
    Kind.DISPUTED: 5,
    Kind.REFUNDED: 4,
    Kind.NOT_OVER: 2,
    Kind.UNKNOWN: 2,
    Kind.ACCOUNT_CLOSED: 6,
    Kind.ACCOUNT_MISSING: 3,
    Kind.ACCOUNT_IN_OTHER_CURRENCY: 3,
    Kind.ACCOUNT_WAVERS: 18,
    Kind.RECORD_WAVERS: 12,
    Kind.RECORD_IS_POISON: 3,
    Kind.CREDIT_IS_POISON: 3,
    Kind.ANSWER_IS_POISON: 3,
    Kind.ALL_IS_POISON: 2,
    Kind.CREDITED_BEFORE: 3,
    Kind.CREDITED_OTHERWISE: 4,
}
_FIRST_STATUS = {Kind.DISPUTED: OrderStatus.DISPUTED}


class Order(NamedTuple):
    """An order with its own account, so that its account's state affects no other order."""

    order_id: str
    kind: Kind
    amount_minor: int

    @property
    def account_id(self) -> str:
        return f"account-of-{self.order_id}"

    @property
    def is_credited_before(self) -> bool:
        """Whether the ledger has its credit before Settle."""
        return self.kind in (Kind.CREDITED_BEFORE, Kind.CREDITED_OTHERWISE)

    @property
    def record(self) -> OrderRecord:
        """The first version of its record."""
        return OrderRecord(
            self.order_id,
            self.account_id,
            paid_minor=self.amount_minor,
            refunded_minor=self.amount_minor if self.kind == Kind.REFUNDED else 0,
            currency=CURRENCY,
            status=_FIRST_STATUS.get(self.kind, OrderStatus.COMPLETED),
            completed_at=OVER_AT,
            after_sale_ends_at=NEVER_OVER_AT if self.kind == Kind.NOT_OVER else OVER_AT,
        )

    def announced(self, amount_more_minor: int = 0) -> OfferedOrder:
        """Return the order as Kafka announces it, with a wrong amount if `amount_more_minor` is not 0."""
        record = self.record
        due_minor = record.paid_minor - record.refunded_minor
        return OfferedOrder(self.order_id, self.account_id, due_minor + amount_more_minor, CURRENCY)


def plan_orders(chance: Chance) -> list[Order]:
    weights = chance.swarmed(_WEIGHTS, "kinds of orders")
    return [
        Order(f"order-{number:03d}", chance.weighted(weights, "kind", number), 1_000 + number)
        for number in range(chance.between(8, 26, "order count"))
    ]


def plan_accounts(orders: Iterable[Order]) -> list[AccountOpening]:
    """Return the accounts that exist."""
    return [
        AccountOpening(order.account_id, OTHER_CURRENCY if order.kind == Kind.ACCOUNT_IN_OTHER_CURRENCY else CURRENCY)
        for order in orders
        if order.kind != Kind.ACCOUNT_MISSING
    ]
