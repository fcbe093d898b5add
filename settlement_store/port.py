"""The Finance Center's own store, the guard of every step. This docstring and the methods' are the contract.

Every method may be called twice, at the same time, and by a process that was thought dead. Each step over a
chunk ends with a compare-and-set of the chunk's state row in the transaction that writes its rows: the loser
writes nothing and gets the stored totals.
"""

from collections.abc import Sequence
from typing import Protocol

from schemas.batches import (
    AppendResult,
    Batch,
    BatchOpening,
    BatchPlan,
    BatchProgress,
    Chunk,
    ControlTotals,
    ExceptionItem,
    Item,
    ItemGroup,
    LatestItem,
    OfferedOrder,
    OutcomeTotals,
    StoreBreak,
)


class SettlementStore(Protocol):
    """Batches, items, claims, chunk states and exception items."""

    async def open_batch(self, opening: BatchOpening) -> Batch:
        """Store a new, empty batch, or return the one that has this id. Idempotent.

        Raises:
            BatchMismatchError: the stored batch has other parameters.
        """

    async def append_orders(self, batch_id: str, orders: Sequence[OfferedOrder]) -> AppendResult:
        """Claim and append those of the orders that no live item holds; count duplicates and conflicts.

        Atomic, under the batch's row lock. New items get the next item numbers without a gap, in order_id
        order, and their order's next claim number.

        Args:
            batch_id: an open batch.
            orders: each order once, at most `limits.FREEZE_SLICE_ORDER_COUNT`.

        Raises:
            BatchNotFoundError: no batch has this id.
            BatchNotOpenError: the batch is frozen; nothing was written.
        """

    async def freeze_batch(self, batch_id: str) -> None:
        """Store the plan of an open batch (control totals, chunks) and freeze it; a frozen one stays as it is.

        Raises:
            BatchNotFoundError: no batch has this id.
        """

    async def start_batch(self, batch_id: str) -> BatchPlan:
        """Set a frozen batch running and return its plan; a later state is left as it is.

        Raises:
            BatchNotFoundError: no batch has this id.
            BatchNotOpenError: the batch is not frozen yet.
        """

    async def fetch_chunk(self, batch_id: str, chunk_index: int) -> Chunk:
        """Read a chunk's state row.

        Raises:
            BatchNotFoundError: there is no such chunk.
        """

    async def fetch_pending_items(self, batch_id: str, chunk: Chunk) -> list[Item]:
        """Read the chunk's items that have no stored outcome, in item_no order, by one indexed read."""

    async def store_validation(
        self, batch_id: str, chunk_index: int, rejects: Sequence[ExceptionItem]
    ) -> OutcomeTotals:
        """Store a planned chunk's rejects, release their claims, and make it validated.

        Returns:
            The totals of the outcomes stored so far; the loser's are those that the winner stored.
        """

    async def store_outcomes(
        self, batch_id: str, chunk_index: int, exceptions: Sequence[ExceptionItem]
    ) -> OutcomeTotals:
        """Store a validated chunk's exceptions, settle the rest of it, and close it with its control totals.

        Claims of rejected and failed items are released; settled and held ones keep theirs.

        Raises:
            InvariantViolationError: the chunk was never validated.
        """

    async def hold_chunk(self, batch_id: str, chunk_index: int, detail: str) -> OutcomeTotals:
        """Hold all items of a chunk that have no outcome, and close it; a closed one stays as it is.

        The reason is NOT_ATTEMPTED if the chunk has no stored validation, else OUTCOME_UNKNOWN: a request may
        be under way.
        """

    async def fetch_chunk_totals(self, batch_id: str, chunk_index: int) -> OutcomeTotals:
        """Read a closed chunk's stored control totals.

        Raises:
            ChunkUnfinishedError: the chunk is not closed.
        """

    async def fetch_item_groups(self, batch_id: str, item_start: int, item_end: int) -> list[ItemGroup]:
        """Group the items of a range by outcome and currency, in one snapshot, by one indexed read."""

    async def close_batch(self, batch_id: str, *, balanced: bool) -> Batch:
        """Make a running batch closed, or out_of_balance; a final one stays as it is.

        Raises:
            InvariantViolationError: a chunk is not closed.
        """

    async def fetch_batch(self, batch_id: str) -> Batch:
        """Read a batch.

        Raises:
            BatchNotFoundError: no batch has this id.
        """

    async def fetch_batches(self, batch_count_max: int) -> list[Batch]:
        """Read the newest batches, newest first."""

    async def fetch_planned_totals(self, batch_id: str) -> ControlTotals:
        """The control totals stored at freezing; those of the items so far while the batch is open."""

    async def fetch_reason_counts(self, batch_id: str) -> dict[str, int]:
        """How many exception items of a batch have each reason code."""

    async def fetch_progress(self, batch_id: str) -> BatchProgress:
        """Counts from chunk states and exception items, without touching the items.

        Raises:
            BatchNotFoundError: no batch has this id.
        """

    async def fetch_latest_items(self, after_order_id: str, item_count_max: int) -> list[LatestItem]:
        """Read the next orders' latest items, ordered by order_id in code point order; for the audit.

        A claim whose item is missing comes with the outcome `missing` and empty payload.
        """

    async def fetch_item_of_order(self, order_id: str) -> LatestItem | None:
        """Read one order's latest item; for the audit's second look."""

    async def fetch_store_breaks(self, break_count_max: int) -> list[StoreBreak]:
        """Check the store against itself, reading all of it; at most the bound of each kind.

        Kinds: `planned_total_changed` (the stored plan is not the sum of the batch's items),
        `item_missing` (item numbers have a gap, or a claim's item is missing), `claim_missing` (an item whose
        order has no claim, or only an older one), `claim_not_released` (held for a rejected or failed item),
        `claim_released_early` (released for a live item), `two_live_items`, `chunk_totals_differ` (a closed
        chunk's control totals are not the sum of its items), `chunk_gap` (chunks do not cover the batch
        exactly once), `exception_without_item`, `closed_with_pending` (a final batch has a chunk that is not
        closed).
        """
