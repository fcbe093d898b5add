"""Pruning, a part of the settlement store's contract: batches past their retention."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

from schemas.batches import RetiredBatch
from schemas.wire.reports import SinceClosing


class Pruning(Protocol):
    """Pruning of batches that are past their retention."""

    async def fetch_retired_batches(
        self, retention: timedelta, after: RetiredBatch | None, batch_count_max: int
    ) -> Sequence[RetiredBatch]:
        """Read the next closed or aborted batches that are past their retention and not pruned yet, oldest first.

        Args:
            retention: how long ago a batch was closed at least, by the store's clock.
            after: the last batch of the previous slice; None for the first slice.
            batch_count_max: the slice's bound.
        """

    async def begin_pruning(self, batch_id: str, since_closing: SinceClosing) -> bool:
        """Mark a closed or aborted batch as being pruned; it can no longer be rerun. Idempotent.

        `since_closing` is kept with the mark, because it can no longer be read once items are pruned.

        Returns:
            Whether the batch is being pruned now. It is not while a batch that reruns it is in no final state, or while
            one of its outcomes is not delivered.
        """

    async def prune_chunks(self, batch_id: str) -> int:
        """Prune the next chunks of a batch that is being pruned, in one bounded transaction.

        The items move, each with its payload and outcome, out of the tables that settling works on; the audit and later
        offers of their orders still find them. Chunk states and the details of exception items are deleted. Claims,
        plan and chunk totals stay. A call prunes at most `limits.PRUNE_STEP_ITEM_COUNT` items, but at least one chunk.

        Returns:
            The number of items pruned; 0 if none is left.

        Raises:
            BatchNotFoundError: no batch has this id.
            InvariantViolationError: `begin_pruning` has not marked the batch.
        """
