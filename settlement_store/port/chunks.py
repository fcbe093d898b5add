"""Chunks and their items, a part of the settlement store's contract: each step ends with a compare-and-set."""

from collections.abc import Sequence
from typing import Protocol

from domain.errors import InvariantViolationError
from schemas.chunks import Chunk, StoredValidation
from schemas.items import ExceptionItem, Item, ItemGroup
from schemas.wire.isolation import ItemRange
from schemas.wire.totals import OutcomeTotals


class Chunks(Protocol):
    """Chunks, their items and their outcomes."""

    async def fetch_chunk(self, batch_id: str, chunk_index: int) -> Chunk:
        """Read a chunk's state row.

        Raises:
            BatchNotFoundError: there is no such chunk.
        """

    async def fetch_pending_items(self, batch_id: str, items: ItemRange) -> Sequence[Item]:
        """Read the items of a range that have no stored outcome, in item_no order, by one indexed read.

        Raises:
            BatchNotFoundError: no batch has this id.
        """

    async def store_validation(
        self, batch_id: str, chunk_index: int, exceptions: Sequence[ExceptionItem]
    ) -> StoredValidation:
        """Store the exceptions that validation found in a planned chunk, and make the chunk validated.

        Claims of rejected and failed items are released; held items keep theirs.

        Returns:
            The totals of the outcomes stored so far; the loser gets the winner's. `is_new` is true for the winner only:
            its items without an exception are pending now.

        Raises:
            BatchNotFoundError: there is no such chunk.
            InvariantViolationError: an item is not of this chunk, or is given twice; nothing was written.
        """

    async def store_outcomes(
        self, batch_id: str, chunk_index: int, exceptions: Sequence[ExceptionItem]
    ) -> OutcomeTotals:
        """Store a validated chunk's exceptions, settle its other items, and close it with its control totals.

        Claims of rejected and failed items are released; settled and held items keep theirs. Items held for a payload
        conflict are added to their batch's conflicts.

        Returns:
            The closed chunk's totals; the loser gets the winner's.

        Raises:
            BatchNotFoundError: there is no such chunk.
            InvariantViolationError: the chunk was never validated, or an item is not of this chunk, is given twice or
                has an outcome already; nothing was written.
        """

    async def hold_chunk(self, batch_id: str, chunk_index: int, detail: str) -> OutcomeTotals:
        """Hold all items of a chunk that have no outcome, and close it. A closed chunk does not change.

        The reason is NOT_ATTEMPTED if the chunk has no stored validation, else OUTCOME_UNKNOWN: a credit request may be
        in progress. It is always OUTCOME_UNKNOWN for an item that inherits the unknown. `detail` is cut to
        `limits.EXCEPTION_DETAIL_LENGTH_MAX` characters.

        Returns:
            The closed chunk's totals.

        Raises:
            BatchNotFoundError: there is no such chunk.
        """

    async def fetch_chunk_totals(self, batch_id: str, chunk_index: int) -> OutcomeTotals:
        """Read a closed chunk's stored control totals.

        Raises:
            BatchNotFoundError: there is no such chunk.
            ChunkUnfinishedError: the chunk is not closed.
        """

    async def fetch_item_groups(self, batch_id: str, item_start: int, item_end: int) -> list[ItemGroup]:
        """Group the items of a range by outcome and currency, in one snapshot, by one indexed read."""

    async def fetch_unclosed_chunks(self, batch_id: str, after_chunk_index: int, chunk_count_max: int) -> list[int]:
        """Read the indexes of a batch's next chunks that are not closed, in ascending order.

        Args:
            batch_id: the chunks' batch.
            after_chunk_index: the last index of the previous slice; -1 for the first slice.
            chunk_count_max: the slice's bound.

        Raises:
            BatchNotFoundError: no batch has this id.
        """

    async def fetch_outcome_totals(self, batch_id: str) -> OutcomeTotals:
        """Add up the stored control totals of a batch's chunks.

        Raises:
            BatchNotFoundError: no batch has this id.
        """


def check_exceptions(chunk: Chunk, exceptions: Sequence[ExceptionItem]) -> None:
    """Refuse exceptions that are not the chunk's own; every adapter calls this before it stores them.

    Raises:
        InvariantViolationError: an item is not of this chunk, or is given twice.
    """
    strangers = [e.item_no for e in exceptions if not chunk.item_start <= e.item_no < chunk.item_end]
    if strangers or len({exception.item_no for exception in exceptions}) < len(exceptions):
        raise InvariantViolationError(
            f"Chunk {chunk.chunk_index} (items {chunk.item_start} to {chunk.item_end - 1}) received outcomes for "
            f"items of other chunks ({strangers[:5]}), or two outcomes for one item. "
            "Nothing was written. This is a bug in Settle."
        )
