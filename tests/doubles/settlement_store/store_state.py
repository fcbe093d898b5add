"""The state of the settlement store in memory, which all its parts share."""

from collections import defaultdict
from datetime import UTC, datetime
from typing import NamedTuple

from domain.control_totals import outcome_totals_of
from domain.errors import BatchNotFoundError
from schemas.batches import Batch, KeptReport
from schemas.chunks import Chunk, ChunkState
from schemas.credit_turns import CreditBucket
from schemas.item_outcomes import PENDING, ItemOutcome
from schemas.items import ExceptionItem, Item
from schemas.order_life import ConflictingOffer
from schemas.outbox import OutboxRow
from schemas.wire.batches import BatchState
from schemas.wire.control import BatchControl, StoredControlAction
from schemas.wire.reasons import Outcome
from schemas.wire.totals import OutcomeTotals


class Claim(NamedTuple):
    """An order's latest item, and whether its claim is held."""

    batch_id: str
    item_no: int
    claim_no: int
    is_held: bool


class Contents:
    """A batch's items, chunks and exceptions."""

    def __init__(self, chunk_size: int) -> None:
        self.chunk_size = chunk_size
        self.items: list[Item] = []
        self.chunks: list[Chunk] = []
        self.pruned_item_count = 0
        self.exceptions: dict[int, ExceptionItem] = {}
        self.stored_at: dict[int, datetime] = {}
        self.latest_step_at: datetime | None = None

    @property
    def live_exceptions(self) -> list[ExceptionItem]:
        """Return the exception items that are not pruned, in item_no order."""
        return [each for item_no, each in sorted(self.exceptions.items()) if item_no >= self.pruned_item_count]

    def live_items(self, item_start: int, item_end: int) -> list[Item]:
        """Return the items of a range that are not pruned."""
        return self.items[max(item_start, self.pruned_item_count) : item_end]

    def outcome_of(self, item_no: int) -> ItemOutcome:
        """Return an item's outcome, or pending."""
        if item_no in self.exceptions:
            return self.exceptions[item_no].outcome
        is_closed = self.chunks and self.chunks[item_no // self.chunk_size].state == ChunkState.CLOSED
        return Outcome.SETTLED if is_closed else PENDING

    def totals_of(self, chunk: Chunk) -> OutcomeTotals:
        """Return the totals of the outcomes that a chunk has so far."""
        return outcome_totals_of(
            (outcome, item.currency, 1, item.amount_minor)
            for item in self.items[chunk.item_start : chunk.item_end]
            if (outcome := self.outcome_of(item.item_no)) != PENDING
        )


class StoreState:
    """All of the store's data, for its parts and for tests that read or corrupt them.

    A batch is stored in the state that users see: a running batch that was asked to pause is paused.
    """

    def __init__(self) -> None:
        self.batches: dict[str, Batch] = {}
        self.contents: dict[str, Contents] = {}
        self.claims: dict[str, Claim] = {}
        self.conflicts: dict[tuple[str, str], ConflictingOffer] = {}  # by order and batch
        self.controls: dict[str, BatchControl] = {}
        self.control_actions: defaultdict[str, list[StoredControlAction]] = defaultdict(list)
        self.credit_buckets: dict[str, CreditBucket] = {}
        self.outbox: dict[int, OutboxRow] = {}  # each with its undelivered buckets
        self.outbox_no_last = 0
        self.leases: dict[str, frozenset[int]] = {}
        self.live_until_s: dict[str, float] = {}
        self.kept_reports: dict[str, KeptReport] = {}
        self.pruned_batch_ids: set[str] = set()

    def batch_of(self, batch_id: str) -> Batch:
        """Return a batch.

        Raises:
            BatchNotFoundError: no batch has this id.
        """
        if batch_id not in self.batches:
            raise BatchNotFoundError(f"There is no batch {batch_id}.")
        return self.batches[batch_id]

    def contents_of(self, batch_id: str) -> Contents:
        """Return a batch's contents.

        Raises:
            BatchNotFoundError: no batch has this id.
        """
        return self.contents[self.batch_of(batch_id).batch_id]

    def control_of(self, batch_id: str) -> BatchControl:
        """Return a batch's control state.

        Raises:
            BatchNotFoundError: no batch has this id.
        """
        return self.controls.get(batch_id) or BatchControl(window=self.batch_of(batch_id).window)

    def is_being_pruned(self, batch_id: str) -> bool:
        """Return whether a batch is marked as being pruned."""
        kept = self.kept_reports.get(batch_id)
        return kept is not None and kept.is_being_pruned

    def running_state(self, batch_id: str) -> BatchState:
        """Return the state that users see of a running batch."""
        return BatchState.PAUSED if self.control_of(batch_id).is_paused else BatchState.RUNNING

    def set_batch(self, batch_id: str, **changes: object) -> Batch:
        """Change a batch and return it."""
        self.batches[batch_id] = self.batches[batch_id].model_copy(update=changes)
        return self.batches[batch_id]

    def is_latest(self, item: Item) -> bool:
        """Return whether an item is its order's latest."""
        return self.claims[item.order_id].claim_no == item.claim_no


def now() -> datetime:
    """Return the store's own time, which is this process's."""
    return datetime.now(UTC)
