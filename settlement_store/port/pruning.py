"""Pruning, a part of the settlement store's contract: batches past their retention."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from schemas.batches import RetiredBatch
from schemas.wire.reports import SinceClosing


class Pruning(Protocol):
    """Moving the items of old batches away."""

    async def fetch_retired_batches(
        self, closed_before: datetime, after: RetiredBatch | None, batch_count_max: int
    ) -> Sequence[RetiredBatch]:
        """Read the next closed or aborted batches that were closed before a time and are not pruned yet, oldest first.

        Args:
            closed_before: aware.
            after: the last batch of the slice before; None for the first one.
            batch_count_max: the slice's bound.
        """

    async def begin_pruning(self, batch_id: str, since_closing: SinceClosing) -> bool:
        """Mark a closed or aborted batch: from now on it may be pruned, and no longer be rerun. Idempotent.

        What came since its closing is kept with the mark, for it can no longer be read once items are pruned.

        Returns:
            Whether the batch is being pruned now; not if a batch that reruns this one is in no final state, or while
            an outcome of this one is not delivered.
        """

    async def prune_chunks(self, batch_id: str) -> int:
        """Prune the next chunks of a batch that is being pruned: one bounded transaction.

        Its items move to where only the audit and later offers of their orders look, each with its payload and
        outcome; chunk states and the details of exception items are dropped. Claims, plan and chunk totals stay.
        At most `limits.PRUNE_STEP_ITEM_COUNT` items, at least one chunk.

        Returns:
            How many items were pruned; 0 if none is left.

        Raises:
            BatchNotFoundError: no batch has this id.
            InvariantViolationError: its pruning was not begun.
        """
