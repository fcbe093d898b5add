"""Chunks of a batch, and what a step over one stored."""

from enum import StrEnum
from typing import NamedTuple

from schemas.wire.totals import OutcomeTotals


class ChunkState(StrEnum):
    """planned -> validated -> closed, each step by compare-and-set; a held chunk goes to closed from either."""

    PLANNED = "planned"
    VALIDATED = "validated"
    CLOSED = "closed"


class StoredValidation(NamedTuple):
    """A chunk's totals so far, and whether it was this call that stored its validation."""

    totals: OutcomeTotals
    is_new: bool


class ChunkKey(NamedTuple):
    """Names one chunk."""

    batch_id: str
    chunk_index: int


class Chunk(NamedTuple):
    """A chunk's state row: items `item_start` (inclusive) to `item_end` (exclusive)."""

    chunk_index: int
    item_start: int
    item_end: int
    state: ChunkState
