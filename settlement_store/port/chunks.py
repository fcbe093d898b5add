"""Chunks and their items, a part of the settlement store's contract: each step ends with a compare-and-set."""

from collections.abc import Sequence
from typing import Protocol

from domain.errors import InvariantViolationError
from schemas.chunks import Chunk, StoredValidation
from schemas.items import ExceptionItem, Item, ItemGroup
from schemas.wire.totals import OutcomeTotals


class Chunks(Protocol):
    """Chunks, their items and what became of them."""

    async def fetch_chunk(self, batch_id: str, chunk_index: int) -> Chunk:
        """Read a chunk's state row.

        Raises:
            BatchNotFoundError: there is no such chunk.
        """

    async def fetch_pending_items(self, batch_id: str, chunk: Chunk) -> Sequence[Item]:
        """Read the chunk's items that have no stored outcome, in item_no order, by one indexed read.

        Raises:
            BatchNotFoundError: no batch has this id.
        """

    async def store_validation(
        self, batch_id: str, chunk_index: int, exceptions: Sequence[ExceptionItem]
    ) -> StoredValidation:
        """Store what validation found of a planned chunk's items, release claims, and make it validated.

        Claims of rejected and failed items are released; items that it holds keep theirs.

        Returns:
            The totals of the outcomes stored so far; the loser's are those that the winner stored. It is new for the
            winner alone: what it did not except is pending now.

        Raises:
            BatchNotFoundError: there is no such chunk.
            InvariantViolationError: an item is not of this chunk, or comes twice; nothing was written.
        """

    async def store_outcomes(
        self, batch_id: str, chunk_index: int, exceptions: Sequence[ExceptionItem]
    ) -> OutcomeTotals:
        """Store a validated chunk's exceptions, settle the rest of it, and close it with its control totals.

        Claims of rejected and failed items are released; settled and held ones keep theirs. Items held for a
        payload conflict add to their batch's conflicts.

        Returns:
            The closed chunk's totals; the loser's are those that the winner stored.

        Raises:
            BatchNotFoundError: there is no such chunk.
            InvariantViolationError: the chunk was never validated, or an item is not of this chunk, comes twice or
                has an outcome already; nothing was written.
        """

    async def hold_chunk(self, batch_id: str, chunk_index: int, detail: str) -> OutcomeTotals:
        """Hold all items of a chunk that have no outcome, and close it; a closed one stays as it is.

        The reason is NOT_ATTEMPTED if the chunk has no stored validation, else OUTCOME_UNKNOWN: a request may
        be under way. An item that inherits the unknown is OUTCOME_UNKNOWN in any case. `detail` is cut to
        `limits.EXCEPTION_DETAIL_LENGTH_MAX`.

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
        """Read the indexes of a batch's next chunks that are not closed, in their order.

        Args:
            batch_id: whose chunks.
            after_chunk_index: the last one of the slice before; -1 for the first one.
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
    """Refuse exceptions that are not a chunk's own; every adapter does so before it stores them.

    Raises:
        InvariantViolationError: an item is not of this chunk, or comes twice.
    """
    strangers = [e.item_no for e in exceptions if not chunk.item_start <= e.item_no < chunk.item_end]
    if strangers or len({exception.item_no for exception in exceptions}) < len(exceptions):
        raise InvariantViolationError(
            f"Chunk {chunk.chunk_index} (items {chunk.item_start} to {chunk.item_end - 1}) was given outcomes of "
            f"items of other chunks ({strangers[:5]}), or one item's twice. "
            "Nothing was written; this is an error in Settle."
        )
