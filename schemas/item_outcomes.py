"""What became of an item as it is read: its stored outcome, or none."""

from enum import StrEnum
from types import MappingProxyType
from typing import TypeAlias

from schemas.wire.reasons import Outcome


class NoOutcome(StrEnum):
    """Why an item that was read has no outcome."""

    PENDING = "pending"
    MISSING = "missing"
    """An order's claim names an item that is not there."""


ItemOutcome: TypeAlias = Outcome | NoOutcome

PENDING = NoOutcome.PENDING
MISSING = NoOutcome.MISSING

OUTCOME_BY_TEXT = MappingProxyType({str(each): each for each in Outcome})
ITEM_OUTCOME_BY_TEXT: MappingProxyType[str, ItemOutcome] = MappingProxyType(
    {str(each): each for each in (*Outcome, *NoOutcome)}
)
"""For rows: making an enum's member from a text takes six times as long."""
