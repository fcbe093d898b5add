"""Opening, filling and freezing batches, in memory."""

from collections.abc import Sequence

from domain import limits
from domain.business_days import BusinessCalendar
from domain.chunking import chunk_count_of, chunk_range
from domain.errors import BatchMismatchError, BatchNotOpenError, TooManyBatchesError
from schemas.batches import AppendResult, Batch
from schemas.chunks import Chunk, ChunkState
from schemas.item_outcomes import PENDING
from schemas.items import ExceptionItem, Item, OfferedOrder, RerunItem, StoredException
from schemas.order_life import ConflictingOffer
from schemas.wire.batches import FINAL_STATES, BatchOpening, BatchState
from settlement_store.port.filling import batch_pruned, check_cutoff, check_offers, check_opening, is_opened_as
from tests.doubles.settlement_store.store_state import Claim, Contents, StoreState, now


class MemoryFilling:
    """`Filling` in memory."""

    def __init__(self, state: StoreState) -> None:
        self.state = state

    async def open_batch(self, opening: BatchOpening) -> Batch:
        if opening.batch_id not in self.state.batches:
            self._require_room(opening)
            check_opening(opening, now())
            self.state.batches[opening.batch_id] = Batch(
                **opening.model_dump(),
                state=BatchState.OPEN,
                item_count=0,
                duplicate_count=0,
                conflict_count=0,
                opened_at=now(),
                frozen_at=None,
                started_at=None,
                closed_at=None,
            )
            self.state.contents[opening.batch_id] = Contents(opening.chunk_size)
        batch = self.state.batches[opening.batch_id]
        if not is_opened_as(batch, opening):
            raise BatchMismatchError(f"Batch {opening.batch_id} exists with other parameters.")
        return batch

    async def append_orders(self, batch_id: str, orders: Sequence[OfferedOrder]) -> AppendResult:
        check_offers([order.order_id for order in orders])
        batch = self._get_open(batch_id)
        claimed_count = duplicate_count = 0
        conflict_order_ids = []
        for order in sorted(orders):
            claim = self.state.claims.get(order.order_id)
            if claim is None or not claim.is_held:
                self._claim(batch_id, order, claim.claim_no + 1 if claim else 1)
                claimed_count += 1
            elif self._payload_of(claim) == order:
                duplicate_count += 1
            else:
                conflict_order_ids.append(order.order_id)
                self.state.conflicts.setdefault((order.order_id, batch_id), _conflict_of(batch_id, order))
        self.state.set_batch(
            batch_id,
            item_count=batch.item_count + claimed_count,
            duplicate_count=batch.duplicate_count + duplicate_count,
            conflict_count=batch.conflict_count + len(conflict_order_ids),
        )
        unanswered = [order_id for order_id in conflict_order_ids if self._is_pending(order_id)]
        return AppendResult(claimed_count, duplicate_count, tuple(conflict_order_ids), tuple(unanswered))

    async def fetch_exceptions(self, batch_id: str, after_item_no: int, item_count_max: int) -> list[StoredException]:
        contents = self.state.contents_of(batch_id)
        following = [exception for exception in contents.live_exceptions if exception.item_no > after_item_no]
        return [
            self._stored_exception(contents.items[exception.item_no], exception)
            for exception in following[:item_count_max]
        ]

    async def append_rerun_items(self, batch_id: str, items: Sequence[RerunItem]) -> frozenset[str]:
        check_offers([item.order_id for item in items])
        batch = self._get_open(batch_id)
        taken = [item for item in sorted(items) if self.state.claims[item.order_id].claim_no == item.claim_no]
        for order_id, claim_no, account_id, amount_minor, currency, inherits_unknown in taken:
            order = OfferedOrder(order_id, account_id, amount_minor, currency)
            self._claim(batch_id, order, claim_no + 1, inherits_unknown=inherits_unknown)
        self.state.set_batch(batch_id, item_count=batch.item_count + len(taken))
        return frozenset(item.order_id for item in taken)

    async def freeze_batch(self, batch_id: str, calendar: BusinessCalendar) -> None:
        batch, contents = self.state.batch_of(batch_id), self.state.contents_of(batch_id)
        if batch.state != BatchState.OPEN:
            return
        frozen_at = now()
        check_cutoff(batch_id, batch.cutoff_at, frozen_at)
        cutoff_at = batch.cutoff_at or frozen_at
        for chunk_index in range(chunk_count_of(batch.item_count, batch.chunk_size)):
            items = chunk_range(chunk_index, batch.item_count, batch.chunk_size)
            chunk = Chunk(chunk_index, items.start, items.stop, ChunkState.PLANNED, cutoff_at, batch.source)
            contents.chunks.append(chunk)
        self.state.set_batch(
            batch_id,
            state=BatchState.FROZEN,
            cutoff_at=cutoff_at,
            business_date=batch.business_date or calendar.latest_business_date(frozen_at),
            frozen_at=frozen_at,
        )

    def _require_room(self, opening: BatchOpening) -> None:
        if opening.rerun and self.state.is_being_pruned(opening.rerun.batch_id):
            raise batch_pruned(opening.rerun.batch_id)
        unclosed_count = sum(batch.state not in FINAL_STATES for batch in self.state.batches.values())
        if unclosed_count >= limits.UNCLOSED_BATCH_COUNT_MAX:
            raise TooManyBatchesError(f"Batch {opening.batch_id} was not opened: too many batches are unclosed.")

    def _get_open(self, batch_id: str) -> Batch:
        batch = self.state.batch_of(batch_id)
        if batch.state != BatchState.OPEN:
            raise BatchNotOpenError(f"Batch {batch_id} is {batch.state} and takes no more orders.")
        return batch

    def _claim(self, batch_id: str, order: OfferedOrder, claim_no: int, *, inherits_unknown: bool = False) -> None:
        items = self.state.contents_of(batch_id).items
        item = Item(len(items), *order, claim_no=claim_no, inherits_unknown=inherits_unknown)
        items.append(item)
        self.state.claims[order.order_id] = Claim(batch_id, item.item_no, claim_no, is_held=True)

    def _payload_of(self, claim: Claim) -> OfferedOrder:
        item = self.state.contents_of(claim.batch_id).items[claim.item_no]
        return OfferedOrder(item.order_id, item.account_id, item.amount_minor, item.currency)

    def _is_pending(self, order_id: str) -> bool:
        claim = self.state.claims[order_id]
        return self.state.contents_of(claim.batch_id).outcome_of(claim.item_no) == PENDING

    def _stored_exception(self, item: Item, exception: ExceptionItem) -> StoredException:
        return StoredException(
            *item[:6],
            outcome=exception.outcome,
            reason_code=exception.reason_code,
            is_latest=self.state.is_latest(item),
        )


def _conflict_of(batch_id: str, order: OfferedOrder) -> ConflictingOffer:
    return ConflictingOffer(
        batch_id=batch_id,
        account_id=order.account_id,
        amount_minor=order.amount_minor,
        currency=order.currency,
        offered_at=now(),
    )
