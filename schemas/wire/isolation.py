"""The items of a chunk that its steps leave out, since their data make them fail."""

from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from schemas.wire.reasons import Outcome, ReasonCode


class ItemRange(NamedTuple):
    """Items of a batch: from `item_start` (inclusive) to `item_end` (exclusive)."""

    item_start: int
    item_end: int


class IsolatedItem(BaseModel):
    """An item that stands alone because a step could not process it, and its outcome, with the error as detail.

    One that is settled after all has neither reason nor detail: its credit exists, but asking for it fails.
    """

    model_config = ConfigDict(frozen=True)

    item_no: int
    outcome: Outcome
    reason_code: ReasonCode | None
    detail: str | None


class Exclusions(BaseModel):
    """Items that a chunk's step does not process: those that stand alone have their outcome, ranges are held.

    Both are bounded by the number of probes.
    """

    model_config = ConfigDict(frozen=True)

    isolated: tuple[IsolatedItem, ...] = ()
    held_ranges: tuple[ItemRange, ...] = ()
    held_detail: str | None = None
