"""The items that a chunk's steps leave out because their data make the steps fail."""

from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from schemas.wire.reasons import Outcome, ReasonCode


class ItemRange(NamedTuple):
    """A range of a batch's items, from `item_start` (inclusive) to `item_end` (exclusive)."""

    item_start: int
    item_end: int


class IsolatedItem(BaseModel):
    """An item that was isolated because a step could not process it, and its outcome, with the error as detail.

    An item that is settled after all has neither reason nor detail: its credit exists, but requesting it fails.
    """

    model_config = ConfigDict(frozen=True)

    item_no: int
    outcome: Outcome
    reason_code: ReasonCode | None
    detail: str | None


class Exclusions(BaseModel):
    """The items that a chunk's step leaves out: isolated items, which have their outcomes, and ranges to hold.

    The number of probes bounds both.
    """

    model_config = ConfigDict(frozen=True)

    isolated: tuple[IsolatedItem, ...] = ()
    held_ranges: tuple[ItemRange, ...] = ()
    held_detail: str | None = None
