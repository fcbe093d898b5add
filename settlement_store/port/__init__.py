"""The Finance Center's own store, the guard of every step. This docstring and the methods' are the contract.

Every method may be called twice, at the same time, and by a process that was thought dead. Each step over a
chunk ends with a compare-and-set of the chunk's state row in the transaction that writes its rows: the loser
writes nothing and gets the stored totals.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from domain import limits
from domain.business_days import BusinessCalendar
from domain.errors import BatchPrunedError, InvariantViolationError
from schemas.audit import LatestItem, OfferCounts
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
    OfferedOrder,
    OutcomeTotals,
    ReconciliationReport,
    RerunItem,
    RetiredBatch,
    StoreBreak,
    StoredException,
    StoredValidation,
    UnclosedBatch,
)
from schemas.order_life import ConflictingOffer, OrderItem
from schemas.reasons import Outcome
from settlement_store.port.caps import CreditBuckets
from settlement_store.port.control import OperatorControl
from settlement_store.port.outbox import Outbox

RELEASING_OUTCOMES = frozenset({Outcome.REJECTED, Outcome.FAILED})


class SettlementStore(OperatorControl, Outbox, CreditBuckets, Protocol):
    """Batches, items, claims, chunk states and exception items, operator control, outbox, and caps on credits."""

    async def open_batch(self, opening: BatchOpening) -> Batch:
        """Store a new, empty batch, or return the one that has this id. Idempotent.

        A business date and cutoff that the opening leaves to freezing may be any in the stored batch.

        Raises:
            BatchMismatchError: the stored batch has other parameters.
            BatchPrunedError: it is new, and reruns a batch that is being pruned, or is.
            TooManyBatchesError: it is new, and `limits.UNCLOSED_BATCH_COUNT_MAX` batches are in no final state.
        """

    async def append_orders(self, batch_id: str, orders: Sequence[OfferedOrder]) -> AppendResult:
        """Claim and append those of the orders that no live item holds; count duplicates and conflicts.

        Atomic, under the batch's row lock. New items get the next item numbers without a gap, in order_id
        order, and their order's next claim number. Of an order's conflicts with one batch the first one's payload
        is kept, for `fetch_conflicts_of_order`.

        Args:
            batch_id: an open batch.
            orders: each order once, at most `limits.FREEZE_SLICE_ORDER_COUNT`.

        Raises:
            BatchNotFoundError: no batch has this id.
            BatchNotOpenError: the batch is frozen; nothing was written.
            ValueError: an order comes twice, or there are too many.
        """

    async def fetch_exceptions(self, batch_id: str, after_item_no: int, item_count_max: int) -> list[StoredException]:
        """Read the next exception items of a batch that are not pruned, in item_no order, by one indexed read.

        Args:
            batch_id: whose items.
            after_item_no: the last item of the slice before; -1 for the first one.
            item_count_max: the slice's bound.

        Raises:
            BatchNotFoundError: no batch has this id.
        """

    async def append_rerun_items(self, batch_id: str, items: Sequence[RerunItem]) -> frozenset[str]:
        """Append orders whose earlier item has an exception outcome, and give their claims to the new items.

        Atomic, under the batch's row lock. An order is taken by compare-and-set: only if the item with the given
        claim number is still its latest. New items get the next item numbers without a gap, in order_id order, and
        the next claim number.

        Args:
            batch_id: an open batch.
            items: each order once, at most `limits.FREEZE_SLICE_ORDER_COUNT`, as `fetch_exceptions` gave them.

        Returns:
            The orders that were taken.

        Raises:
            BatchNotFoundError: no batch has this id.
            BatchNotOpenError: the batch is frozen; nothing was written.
            ValueError: an order comes twice, or there are too many.
        """

    async def freeze_batch(self, batch_id: str, calendar: BusinessCalendar) -> None:
        """Fix the plan of an open batch (control totals, chunks) and freeze it; a frozen one stays as it is.

        A batch that was opened without a cutoff gets the database's time, and the latest business date for it.

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

    async def close_batch(self, batch_id: str, *, balanced: bool) -> Batch:
        """Make a running batch closed, aborted if it is being aborted, or out_of_balance; a final one stays as it is.

        A paused batch is a running one here.

        Raises:
            BatchNotFoundError: no batch has this id.
            InvariantViolationError: the batch is not running, or a chunk is not closed.
        """

    async def fetch_batch(self, batch_id: str) -> Batch:
        """Read a batch.

        Raises:
            BatchNotFoundError: no batch has this id.
        """

    async def fetch_batches(self, batch_count_max: int) -> list[Batch]:
        """Read the newest batches, newest first."""

    async def fetch_unclosed_batches(self) -> list[UnclosedBatch]:
        """Read the batches in no final state, oldest first; at most `limits.UNCLOSED_BATCH_COUNT_MAX`."""

    async def fetch_backlog_order_count(self, active_within_s: float) -> int:
        """Count the items without an outcome in running batches that are neither paused nor stuck.

        Cheap enough to ask every second.

        Args:
            active_within_s: a batch that started, or stored a chunk's step, this long ago or longer is stuck.
        """

    async def fetch_planned_totals(self, batch_id: str) -> ControlTotals:
        """The control totals fixed at freezing; those of the items so far while the batch is open.

        Raises:
            BatchNotFoundError: no batch has this id.
        """

    async def fetch_reason_counts(self, batch_id: str) -> dict[str, int]:
        """How many exception items of a batch have each reason code; those that are pruned do not count."""

    async def fetch_retired_batches(
        self, closed_before: datetime, after: RetiredBatch | None, batch_count_max: int
    ) -> Sequence[RetiredBatch]:
        """Read the next closed or aborted batches that were closed before a time and are not pruned yet, oldest first.

        Args:
            closed_before: aware.
            after: the last batch of the slice before; None for the first one.
            batch_count_max: the slice's bound.
        """

    async def keep_report(self, report: ReconciliationReport) -> bool:
        """Keep a closed or aborted batch's reconciliation: from now on it may be pruned, and no longer be rerun.

        Idempotent.

        Returns:
            Whether a report is kept now; not if a batch that reruns this one is in no final state, or while an
            outcome of this one is not delivered.

        Raises:
            InvariantViolationError: the report has pending items, which would look settled once they are pruned.
        """

    async def fetch_kept_report(self, batch_id: str) -> ReconciliationReport | None:
        """Read the reconciliation of a batch that is being pruned, or is; None for any other."""

    async def prune_chunks(self, batch_id: str) -> int:
        """Prune the next chunks of a batch whose report is kept: one bounded transaction.

        Its items move to where only the audit and later offers of their orders look, each with its payload and
        outcome; chunk states and the details of exception items are dropped. Claims, plan and chunk totals stay.
        At most `limits.PRUNE_STEP_ITEM_COUNT` items, at least one chunk.

        Returns:
            How many items were pruned; 0 if none is left.

        Raises:
            BatchNotFoundError: no batch has this id.
            InvariantViolationError: its report is not kept.
        """

    async def fetch_progress(self, batch_id: str) -> BatchProgress:
        """Counts from chunk states and their stored totals, without touching the items.

        Raises:
            BatchNotFoundError: no batch has this id.
        """

    async def fetch_items_of_order(self, order_id: str) -> list[OrderItem]:
        """Read one order's items, oldest first, in one snapshot; the newest `limits.ORDER_LIFE_ROW_COUNT_MAX` of them.

        An item that a claim names and that is not there is left out; `fetch_item_of_order` tells that.
        """

    async def fetch_conflicts_of_order(self, order_id: str) -> list[ConflictingOffer]:
        """Read what was offered for one order in conflict with its live item, at most one offer a batch: the first.

        In the order in which the batches were opened; the newest `limits.ORDER_LIFE_ROW_COUNT_MAX` of them.
        """

    async def fetch_offer_counts(self) -> OfferCounts:
        """Add up the duplicates and the conflicts of all batches."""

    async def fetch_latest_items(self, after_order_id: str, item_count_max: int) -> list[LatestItem]:
        """Read the next orders' latest items, ordered by order_id in code point order; for the audit.

        One snapshot. An order whose claim names an item that is not there, or another order's, or one with another
        claim number, comes with the outcome `missing`.
        """

    async def fetch_item_of_order(self, order_id: str) -> LatestItem | None:
        """Read one order's latest item, as above; None for an order without a claim. For the audit's second look."""

    async def fetch_store_breaks(self, break_count_max: int) -> list[StoreBreak]:
        """Check the store against itself, reading all of it; at most the bound of each kind.

        Each kind is looked for in one snapshot, in which every transaction of this port is whole: a break is never
        the shadow of a step under way. Together with `planned_total_changed`, `chunk_gap` and `chunk_totals_differ`
        being absent, planned = settled + rejected + failed + held + pending holds in every batch.

        Kinds, and what their ids name:

        - `planned_total_changed` (batch): the stored plan is not the sum of the batch's items.
        - `item_missing` (batch): the items are not as many as were appended, numbered from 0 without a gap. A claim
          whose item is missing is told by `fetch_latest_items`.
        - `claim_missing` (order): an item's order has no claim, or only one with a lower number.
        - `claim_no_reused` (order): two items of one order have the same claim number.
        - `claim_not_released` (order): held although the latest item is rejected or failed.
        - `claim_released_early` (order): released although the latest item is settled, held or pending.
        - `two_live_items` (order): an item is settled or pending although the claim has moved on to a later one.
        - `earlier_item_forgotten` (order): the claim has moved on from an item, and where that is is not kept.
        - `chunk_gap` (chunk): a chunk is missing, has another range than its batch's chunk size gives, or is there
          although its batch is open or does not reach so far.
        - `chunk_totals_differ` (chunk): its stored control totals are not the sum of its items' outcomes.
        - `exception_without_item` (item): an exception item without the item.
        - `outcome_too_early` (order): an outcome in a chunk without a stored validation, or one that only a closed
          chunk can have.
        - `reason_impossible` (order): a held item without a reason for holding, a failed one without that of failing,
          or another one with such a reason.
        - `unknown_forgotten` (order): the credit of an order's earlier item may exist, but the next item does not
          inherit that, or was judged by a rule; or an item inherits what no earlier item left.
        - `closed_with_pending` (batch): the batch is final and has a chunk that is not closed.
        - `kept_report_differs` (batch): pruned, but its report is not kept, or not that of its plan and chunks.
        """


def is_opened_as(batch: Batch, opening: BatchOpening) -> bool:
    """Whether a stored batch is the one that the opening asks for; every adapter's `open_batch` asks this."""
    left_to_freezing = {name for name in ("business_date", "cutoff_at") if getattr(opening, name) is None}
    fields = set(BatchOpening.model_fields) - left_to_freezing
    return batch.model_dump(include=fields) == opening.model_dump(include=fields)


def batch_pruned(batch_id: str) -> BatchPrunedError:
    """The error for a rerun of a batch that is pruned."""
    return BatchPrunedError(
        f"Batch {batch_id} is past its retention and was pruned: its items can no longer be rerun. An order that it "
        "rejected comes in again when its record changes: repair it with settle import"
    )


def check_offers(order_ids: Sequence[str]) -> None:
    """Refuse what `append_orders` and `append_rerun_items` do not take; every adapter begins with this.

    Raises:
        ValueError: see `SettlementStore.append_orders`.
    """
    if len(order_ids) > limits.FREEZE_SLICE_ORDER_COUNT:
        raise ValueError(
            f"{len(order_ids)} orders were offered at once; at most {limits.FREEZE_SLICE_ORDER_COUNT} can be."
        )
    if len(set(order_ids)) < len(order_ids):
        raise ValueError("An order comes twice in one offer; offer each order once.")


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


def check_report(report: ReconciliationReport) -> None:
    """Refuse a report that `keep_report` does not take; every adapter begins with this.

    Raises:
        InvariantViolationError: see `SettlementStore.keep_report`.
    """
    if report.pending.order_count:
        raise InvariantViolationError(
            f"Batch {report.batch_id} is to be pruned, but {report.pending.order_count} of its items are pending. "
            "Nothing was written; run: settle audit"
        )
