"""Orders in a batch: offers, items, exception items and items of reruns."""

from collections.abc import Sequence
from typing import NamedTuple

from schemas.item_outcomes import ItemOutcome
from schemas.wire.reasons import Outcome, ReasonCode


class OfferedOrder(NamedTuple):
    """An order offered to a batch. Its payload is frozen when it becomes an item."""

    order_id: str
    account_id: str
    amount_minor: int
    currency: str


class Item(NamedTuple):
    """An order's place in a batch, with its frozen payload. `amount_minor` is in minor units of `currency`.

    An item that `inherits_unknown` reruns one whose credit may exist. It is not validated, and without the Fund
    Platform's answer its only possible outcome is held.
    """

    item_no: int
    order_id: str
    account_id: str
    amount_minor: int
    currency: str
    claim_no: int
    inherits_unknown: bool = False


class ExceptionItem(NamedTuple):
    """An item that needs a person, and the reason. `detail` is for people, and no code reads it."""

    item_no: int
    outcome: Outcome
    reason_code: ReasonCode
    detail: str | None = None


class StoredException(NamedTuple):
    """A stored exception item, with its frozen payload. `is_latest`: no later item has taken its order's claim."""

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
    """An order to rerun: the claim number of the exception item, and the payload to freeze now."""

    order_id: str
    claim_no: int
    account_id: str
    amount_minor: int
    currency: str
    inherits_unknown: bool


class LaterItemGroup(NamedTuple):
    """A group of a batch's exception items, by their orders' latest items.

    `came_again` says whether these latest items are later ones. `outcome`, `currency` and `amount_minor` (a sum) are
    theirs. `item_no_last` is the largest number of the exception items.
    """

    came_again: bool
    outcome: ItemOutcome
    currency: str
    amount_minor: int
    order_ids: Sequence[str]
    item_no_last: int


class ItemGroup(NamedTuple):
    """Items of a range with the same outcome (or `pending`), currency and `is_latest`.

    `is_latest` means that they are their orders' latest items.
    """

    outcome: ItemOutcome
    currency: str
    is_latest: bool
    amount_minor: int
    order_ids: Sequence[str]
