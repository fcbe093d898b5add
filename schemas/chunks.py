"""Chunks of a batch, and the result of a step over one."""

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from schemas.wire.batches import BatchSource
from schemas.wire.isolation import ItemRange
from schemas.wire.totals import OutcomeTotals


class ChunkState(StrEnum):
    """The states of a chunk: planned -> validated -> closed. A held chunk goes to closed from either of the first two.

    Each transition is a compare-and-set.
    """

    PLANNED = "planned"
    VALIDATED = "validated"
    CLOSED = "closed"


class StoredValidation(NamedTuple):
    """A chunk's totals so far, and whether this call stored its validation."""

    totals: OutcomeTotals
    is_new: bool


class ChunkKey(NamedTuple):
    """The key of a chunk."""

    batch_id: str
    chunk_index: int


class Chunk(NamedTuple):
    """A chunk's state row, with its batch's cutoff and source.

    Its items are `item_start` (inclusive) to `item_end` (exclusive).
    """

    chunk_index: int
    item_start: int
    item_end: int
    state: ChunkState
    cutoff_at: datetime
    source: BatchSource

    @property
    def items(self) -> ItemRange:
        """The chunk's items."""
        return ItemRange(self.item_start, self.item_end)
