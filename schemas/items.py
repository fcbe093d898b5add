"""Orders in a batch: as offered, as items, as exceptions and as taken into a rerun."""

from collections.abc import Sequence
from typing import NamedTuple

from schemas.item_outcomes import ItemOutcome
from schemas.wire.reasons import Outcome, ReasonCode


class OfferedOrder(NamedTuple):
    """An order offered to a batch: the payload that is frozen when it becomes an item."""

    order_id: str
    account_id: str
    amount_minor: int
    currency: str


class Item(NamedTuple):
    """An order's place in a batch, with its frozen payload; `amount_minor` is in minor units of `currency`.

    An item that `inherits_unknown` reruns one whose credit may exist: it is not validated, and only the Fund
    Platform's answer gives it another outcome than held.
    """

    item_no: int
    order_id: str
    account_id: str
    amount_minor: int
    currency: str
    claim_no: int
    inherits_unknown: bool = False


class ExceptionItem(NamedTuple):
    """An item that needs a person, and why; `detail` is for the person, never read by code."""

    item_no: int
    outcome: Outcome
    reason_code: ReasonCode
    detail: str | None = None


class StoredException(NamedTuple):
    """An exception item as stored, with its frozen payload; `is_latest`: no later item has its order's claim."""

    item_no: int
    order_id: str
    account_id: str
    amount_minor: int
    currency: str
    claim_no: int
    outcome: Outcome
    reason_code: ReasonCode
    is_latest: bool


class RerunItem(NamedTuple):
    """An order to settle again: the claim number of the item that is rerun, and the payload to freeze now."""

    order_id: str
    claim_no: int
    account_id: str
    amount_minor: int
    currency: str
    inherits_unknown: bool


class LaterItemGroup(NamedTuple):
    """Orders of exception items, grouped by their latest item: whether that is a later one, its outcome and currency.

    `amount_minor` is the sum of the latest items' amounts; `item_no_last` is the largest number of the exception items.
    """

    came_again: bool
    outcome: ItemOutcome
    currency: str
    amount_minor: int
    order_ids: Sequence[str]
    item_no_last: int


class ItemGroup(NamedTuple):
    """Items of a range that share outcome (or `pending`) and currency; `is_latest`: they are their orders' latest."""

    outcome: ItemOutcome
    currency: str
    is_latest: bool
    amount_minor: int
    order_ids: Sequence[str]
