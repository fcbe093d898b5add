"""The outcome of an item as it is read: its stored outcome, or the reason why it has none."""

from enum import StrEnum
from types import MappingProxyType
from typing import TypeAlias

from schemas.wire.reasons import Outcome


class NoOutcome(StrEnum):
    """The reasons why an item has no outcome."""

    PENDING = "pending"
    MISSING = "missing"
    """The order's claim names an item that does not exist."""


ItemOutcome: TypeAlias = Outcome | NoOutcome

PENDING = NoOutcome.PENDING
MISSING = NoOutcome.MISSING

OUTCOME_BY_TEXT = MappingProxyType({str(each): each for each in Outcome})
ITEM_OUTCOME_BY_TEXT: MappingProxyType[str, ItemOutcome] = MappingProxyType(
    {str(each): each for each in (*Outcome, *NoOutcome)}
)
"""For rows, since looking an enum member up by its value takes six times as long."""
