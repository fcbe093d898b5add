"""What a batch and a claim are to the settlement store in memory."""

from datetime import datetime
from typing import NamedTuple

from domain.control_totals import outcome_totals_of
from schemas.audit import PENDING
from schemas.batches import Batch, Chunk, ChunkState, ExceptionItem, Item, OutcomeTotals
from schemas.order_life import OrderItem
from schemas.reasons import Outcome


class Claim(NamedTuple):
    """An order's latest item, and whether its claim is held."""

    batch_id: str
    item_no: int
    claim_no: int
    is_held: bool


class Contents:
    """What a batch consists of."""

    def __init__(self, chunk_size: int) -> None:
        self.chunk_size = chunk_size
        self.items: list[Item] = []
        self.chunks: list[Chunk] = []
        self.pruned_item_count = 0
        self.exceptions: dict[int, ExceptionItem] = {}
        self.stored_at: dict[int, datetime] = {}
        self.latest_step_at: datetime | None = None

    def outcome_of(self, item_no: int) -> str:
        """An item's outcome, or pending."""
        if item_no in self.exceptions:
            return self.exceptions[item_no].outcome
        is_closed = self.chunks and self.chunks[item_no // self.chunk_size].state == ChunkState.CLOSED
        return Outcome.SETTLED if is_closed else PENDING

    def totals_of(self, chunk: Chunk) -> OutcomeTotals:
        """The totals of the outcomes that a chunk has so far."""
        return outcome_totals_of(
            (outcome, item.currency, 1, item.amount_minor)
            for item in self.items[chunk.item_start : chunk.item_end]
            if (outcome := self.outcome_of(item.item_no)) != PENDING
        )

    def item_of_order(self, batch: Batch, item: Item) -> OrderItem:
        """An item with all that is known of it."""
        exception = self.exceptions.get(item.item_no)
        return OrderItem(
            batch_id=batch.batch_id,
            batch_source=batch.source,
            batch_state=batch.state,
            business_date=batch.business_date,
            item_no=item.item_no,
            chunk_index=item.item_no // self.chunk_size if self.chunks else None,
            claim_no=item.claim_no,
            inherits_unknown=item.inherits_unknown,
            account_id=item.account_id,
            amount_minor=item.amount_minor,
            currency=item.currency,
            outcome=self.outcome_of(item.item_no),
            reason_code=exception.reason_code if exception else None,
            detail=exception.detail if exception else None,
            stored_at=self.stored_at.get(item.item_no),
        )
