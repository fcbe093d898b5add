"""The settlement store in memory, for tests. What the methods guarantee stands in `settlement_store.port`."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Self

from domain import limits
from domain.business_days import BusinessCalendar
from domain.chunking import chunk_count_of, chunk_range
from domain.control_totals import totals_of
from domain.errors import (
    BatchMismatchError,
    BatchNotFoundError,
    BatchNotOpenError,
    ChunkUnfinishedError,
    InvariantViolationError,
    TooManyBatchesError,
)
from schemas.audit import PENDING, LatestItem, OfferCounts
from schemas.batches import (
    FINAL_STATES,
    AppendResult,
    Batch,
    BatchOpening,
    BatchPlan,
    BatchProgress,
    BatchState,
    Chunk,
    ChunkState,
    ControlTotals,
    ExceptionItem,
    Item,
    ItemGroup,
    OfferedOrder,
    OutcomeTotals,
    RerunItem,
    StoreBreak,
    StoredException,
    StoredValidation,
)
from schemas.order_life import ConflictingOffer, OrderItem
from schemas.reasons import RELEASING_OUTCOMES, Outcome, ReasonCode
from settlement_store.port.chunks import check_exceptions
from settlement_store.port.filling import batch_pruned, check_offers, is_opened_as
from tests.doubles.settlement_store.caps import MemoryCreditBuckets
from tests.doubles.settlement_store.control import UNDER_WAY, MemoryBatchControl
from tests.doubles.settlement_store.state import Claim, Contents


class MemorySettlementStore(MemoryBatchControl, MemoryCreditBuckets):
    """Batches in dictionaries; each method runs to its end without awaiting, so none sees another's half."""

    def __init__(self) -> None:
        super().__init__()
        self._conflicts: dict[tuple[str, str], ConflictingOffer] = {}

    @property
    def batches(self) -> Self:
        """Itself: it has all parts of the port."""
        return self

    filling = chunks = control = caps = outbox = pruning = orders = audit = batches

    async def open_batch(self, opening: BatchOpening) -> Batch:
        """See `SettlementStore.open_batch`."""
        if opening.batch_id not in self._batches:
            if opening.rerun and opening.rerun.batch_id in self._kept_reports:
                raise batch_pruned(opening.rerun.batch_id)
            unclosed_count = sum(batch.state not in FINAL_STATES for batch in self._batches.values())
            if unclosed_count >= limits.UNCLOSED_BATCH_COUNT_MAX:
                raise TooManyBatchesError(f"Batch {opening.batch_id} was not opened: too many are not closed.")
            self._batches[opening.batch_id] = Batch(
                **opening.model_dump(),
                state=BatchState.OPEN,
                item_count=0,
                duplicate_count=0,
                conflict_count=0,
                opened_at=datetime.now(UTC),
                frozen_at=None,
                started_at=None,
                closed_at=None,
            )
            self._contents[opening.batch_id] = Contents(opening.chunk_size)
        batch = self._batches[opening.batch_id]
        if not is_opened_as(batch, opening):
            raise BatchMismatchError(f"Batch {opening.batch_id} exists with other parameters.")
        return batch

    async def append_orders(self, batch_id: str, orders: Sequence[OfferedOrder]) -> AppendResult:
        """See `SettlementStore.append_orders`."""
        check_offers([order.order_id for order in orders])
        batch, contents = self._get_open(batch_id)
        claimed_count = duplicate_count = 0
        conflict_order_ids = []
        for order in sorted(orders):
            claim = self._claims.get(order.order_id)
            if claim is None or not claim.is_held:
                claim_no = claim.claim_no + 1 if claim else 1
                item = Item(len(contents.items), *order, claim_no=claim_no)
                contents.items.append(item)
                self._claims[order.order_id] = Claim(batch_id, item.item_no, claim_no, is_held=True)
                claimed_count += 1
            elif self._payload_of(claim) == order:
                duplicate_count += 1
            else:
                conflict_order_ids.append(order.order_id)
                conflict = ConflictingOffer(
                    batch_id=batch_id,
                    account_id=order.account_id,
                    amount_minor=order.amount_minor,
                    currency=order.currency,
                    offered_at=datetime.now(UTC),
                )
                self._conflicts.setdefault((order.order_id, batch_id), conflict)
        self._batches[batch_id] = batch.model_copy(
            update={
                "item_count": len(contents.items),
                "duplicate_count": batch.duplicate_count + duplicate_count,
                "conflict_count": batch.conflict_count + len(conflict_order_ids),
            }
        )
        unanswered = [order_id for order_id in conflict_order_ids if self._outcome_of(order_id) == PENDING]
        return AppendResult(claimed_count, duplicate_count, tuple(conflict_order_ids), tuple(unanswered))

    async def fetch_exceptions(self, batch_id: str, after_item_no: int, item_count_max: int) -> list[StoredException]:
        """See `SettlementStore.fetch_exceptions`."""
        contents = self._get(batch_id)[1]
        following = [
            exception
            for item_no, exception in sorted(contents.exceptions.items())
            if item_no > after_item_no and item_no >= contents.pruned_item_count
        ]
        return [self._stored_exception(contents, exception) for exception in following[:item_count_max]]

    async def append_rerun_items(self, batch_id: str, items: Sequence[RerunItem]) -> frozenset[str]:
        """See `SettlementStore.append_rerun_items`."""
        check_offers([item.order_id for item in items])
        batch, contents = self._get_open(batch_id)
        taken = [item for item in sorted(items) if self._claims[item.order_id].claim_no == item.claim_no]
        for order_id, claim_no, account_id, amount_minor, currency, inherits_unknown in taken:
            item_no = len(contents.items)
            contents.items.append(
                Item(item_no, order_id, account_id, amount_minor, currency, claim_no + 1, inherits_unknown)
            )
            self._claims[order_id] = Claim(batch_id, item_no, claim_no + 1, is_held=True)
        self._batches[batch_id] = batch.model_copy(update={"item_count": len(contents.items)})
        return frozenset(item.order_id for item in taken)

    async def freeze_batch(self, batch_id: str, calendar: BusinessCalendar) -> None:
        """See `SettlementStore.freeze_batch`."""
        batch, contents = self._get(batch_id)
        if batch.state == BatchState.OPEN:
            for chunk_index in range(chunk_count_of(batch.item_count, batch.chunk_size)):
                items = chunk_range(chunk_index, batch.item_count, batch.chunk_size)
                contents.chunks.append(Chunk(chunk_index, items.start, items.stop, ChunkState.PLANNED))
            now = datetime.now(UTC)
            dates = {
                "cutoff_at": batch.cutoff_at or now,
                "business_date": batch.business_date or calendar.latest_business_date(now),
            }
            self._set_state(batch.model_copy(update=dates), BatchState.FROZEN, "frozen_at")

    async def start_batch(self, batch_id: str) -> BatchPlan:
        """See `SettlementStore.start_batch`."""
        batch, contents = self._get(batch_id)
        if batch.state == BatchState.OPEN:
            raise BatchNotOpenError(f"Batch {batch_id} is still open; it starts once it is frozen.")
        if batch.state == BatchState.FROZEN:
            self._set_state(batch, self._running_state(batch), "started_at")
        return BatchPlan(
            state=self._batches[batch_id].state,
            chunk_count=len(contents.chunks),
            chunk_size=batch.chunk_size,
            window=batch.window,
            business_date=batch.business_date,
            cutoff_at=batch.cutoff_at,
            planned=await self.fetch_planned_totals(batch_id),
            control=await self.fetch_control(batch_id),
        )

    async def fetch_chunk(self, batch_id: str, chunk_index: int) -> Chunk:
        """See `SettlementStore.fetch_chunk`."""
        return self._get_chunk(batch_id, chunk_index)[1]

    async def fetch_pending_items(self, batch_id: str, chunk: Chunk) -> list[Item]:
        """See `SettlementStore.fetch_pending_items`."""
        contents = self._get(batch_id)[1]
        items = contents.items[max(chunk.item_start, contents.pruned_item_count) : chunk.item_end]
        return [item for item in items if item.item_no not in contents.exceptions]

    async def store_validation(
        self, batch_id: str, chunk_index: int, exceptions: Sequence[ExceptionItem]
    ) -> StoredValidation:
        """See `SettlementStore.store_validation`."""
        contents, chunk = self._get_chunk(batch_id, chunk_index)
        is_new = chunk.state == ChunkState.PLANNED
        if is_new:
            self._store(batch_id, chunk, ChunkState.VALIDATED, exceptions)
        return StoredValidation(contents.totals_of(chunk), is_new)

    async def store_outcomes(
        self, batch_id: str, chunk_index: int, exceptions: Sequence[ExceptionItem]
    ) -> OutcomeTotals:
        """See `SettlementStore.store_outcomes`."""
        contents, chunk = self._get_chunk(batch_id, chunk_index)
        if chunk.state == ChunkState.PLANNED:
            raise InvariantViolationError(f"Chunk {chunk_index} of batch {batch_id} has no stored validation.")
        if chunk.state == ChunkState.VALIDATED:
            self._store(batch_id, chunk, ChunkState.CLOSED, exceptions)
            batch = self._batches[batch_id]
            conflict_count = sum(e.reason_code == ReasonCode.PAYLOAD_CONFLICT for e in exceptions)
            self._batches[batch_id] = batch.model_copy(update={"conflict_count": batch.conflict_count + conflict_count})
        return contents.totals_of(chunk)

    async def hold_chunk(self, batch_id: str, chunk_index: int, detail: str) -> OutcomeTotals:
        """See `SettlementStore.hold_chunk`."""
        contents, chunk = self._get_chunk(batch_id, chunk_index)
        if chunk.state != ChunkState.CLOSED:
            is_planned = chunk.state == ChunkState.PLANNED
            reason_code = ReasonCode.NOT_ATTEMPTED if is_planned else ReasonCode.OUTCOME_UNKNOWN
            cut = detail[: limits.EXCEPTION_DETAIL_LENGTH_MAX]
            pending = await self.fetch_pending_items(batch_id, chunk)
            held = [
                ExceptionItem(
                    item.item_no,
                    Outcome.HELD,
                    ReasonCode.OUTCOME_UNKNOWN if item.inherits_unknown else reason_code,
                    cut,
                )
                for item in pending
            ]
            self._store(batch_id, chunk, ChunkState.CLOSED, held)
        return contents.totals_of(chunk)

    async def fetch_chunk_totals(self, batch_id: str, chunk_index: int) -> OutcomeTotals:
        """See `SettlementStore.fetch_chunk_totals`."""
        contents, chunk = self._get_chunk(batch_id, chunk_index)
        if chunk.state != ChunkState.CLOSED:
            raise ChunkUnfinishedError(f"Chunk {chunk_index} of batch {batch_id} is {chunk.state}.")
        return contents.totals_of(chunk)

    async def fetch_item_groups(self, batch_id: str, item_start: int, item_end: int) -> list[ItemGroup]:
        """See `SettlementStore.fetch_item_groups`."""
        contents = self._get(batch_id)[1]
        groups: dict[tuple[str, str, bool], list[Item]] = {}
        for item in contents.items[max(item_start, contents.pruned_item_count) : item_end]:
            is_latest = self._claims[item.order_id].claim_no == item.claim_no
            groups.setdefault((contents.outcome_of(item.item_no), item.currency, is_latest), []).append(item)
        return [
            ItemGroup(*group, sum(item.amount_minor for item in items), [item.order_id for item in items])
            for group, items in groups.items()
        ]

    async def close_batch(self, batch_id: str, *, balanced: bool) -> Batch:
        """See `SettlementStore.close_batch`."""
        batch, contents = self._get(batch_id)
        if batch.state in FINAL_STATES:
            return batch
        if batch.state not in UNDER_WAY or any(chunk.state != ChunkState.CLOSED for chunk in contents.chunks):
            raise InvariantViolationError(f"Batch {batch_id} is {batch.state} and has chunks that are not closed.")
        closed = BatchState.ABORTED if (await self.fetch_control(batch_id)).is_aborting else BatchState.CLOSED
        return self._set_state(batch, closed if balanced else BatchState.OUT_OF_BALANCE, "closed_at")

    async def fetch_batch(self, batch_id: str) -> Batch:
        """See `SettlementStore.fetch_batch`."""
        return self._get(batch_id)[0]

    async def fetch_batches(self, batch_count_max: int) -> list[Batch]:
        """See `SettlementStore.fetch_batches`."""
        return list(reversed(self._batches.values()))[:batch_count_max]

    async def fetch_planned_totals(self, batch_id: str) -> ControlTotals:
        """See `SettlementStore.fetch_planned_totals`."""
        return totals_of((item.currency, 1, item.amount_minor) for item in self._get(batch_id)[1].items)

    async def fetch_reason_counts(self, batch_id: str) -> dict[str, int]:
        """See `SettlementStore.fetch_reason_counts`."""
        contents = self._get(batch_id)[1]
        codes = [str(each.reason_code) for no, each in contents.exceptions.items() if no >= contents.pruned_item_count]
        return dict(sorted(Counter(codes).items()))

    async def fetch_progress(self, batch_id: str) -> BatchProgress:
        """See `SettlementStore.fetch_progress`."""
        batch, contents = self._get(batch_id)
        counts = Counter(contents.outcome_of(item.item_no) for item in contents.items)
        return BatchProgress(
            state=batch.state,
            planned=batch.item_count,
            **{outcome: counts[outcome] for outcome in Outcome},
            chunk_count=len(contents.chunks),
            chunk_closed_count=sum(chunk.state == ChunkState.CLOSED for chunk in contents.chunks),
        )

    async def fetch_items_of_order(self, order_id: str) -> list[OrderItem]:
        """See `SettlementStore.fetch_items_of_order`."""
        items = [
            contents.item_of_order(self._batches[batch_id], item)
            for batch_id, contents in self._contents.items()
            for item in contents.items
            if item.order_id == order_id
        ]
        return sorted(items, key=lambda item: item.claim_no)[-limits.ORDER_LIFE_ROW_COUNT_MAX :]

    async def fetch_conflicts_of_order(self, order_id: str) -> list[ConflictingOffer]:
        """See `SettlementStore.fetch_conflicts_of_order`."""
        found = [self._conflicts.get((order_id, batch_id)) for batch_id in self._batches]
        return [conflict for conflict in found if conflict][-limits.ORDER_LIFE_ROW_COUNT_MAX :]

    async def fetch_offer_counts(self) -> OfferCounts:
        """See `SettlementStore.fetch_offer_counts`."""
        batches = self._batches.values()
        return OfferCounts(sum(b.duplicate_count for b in batches), sum(b.conflict_count for b in batches))

    async def fetch_latest_items(self, after_order_id: str, item_count_max: int) -> list[LatestItem]:
        """See `SettlementStore.fetch_latest_items`."""
        order_ids = sorted(order_id for order_id in self._claims if order_id > after_order_id)
        return [self._latest_item(order_id) for order_id in order_ids[:item_count_max]]

    async def fetch_item_of_order(self, order_id: str) -> LatestItem | None:
        """See `SettlementStore.fetch_item_of_order`."""
        return self._latest_item(order_id) if order_id in self._claims else None

    async def fetch_store_breaks(self, break_count_max: int) -> list[StoreBreak]:  # noqa: ARG002 (the port's)
        """See `SettlementStore.fetch_store_breaks`; totals are summed when asked for here, so nothing can differ."""
        return []

    def _get_open(self, batch_id: str) -> tuple[Batch, Contents]:
        batch, contents = self._get(batch_id)
        if batch.state != BatchState.OPEN:
            raise BatchNotOpenError(f"Batch {batch_id} is {batch.state} and takes no more orders.")
        return batch, contents

    def _stored_exception(self, contents: Contents, exception: ExceptionItem) -> StoredException:
        item = contents.items[exception.item_no]
        return StoredException(
            *item[:6],
            outcome=exception.outcome,
            reason_code=exception.reason_code,
            is_latest=self._claims[item.order_id].claim_no == item.claim_no,
        )

    def _get_chunk(self, batch_id: str, chunk_index: int) -> tuple[Contents, Chunk]:
        contents = self._contents.get(batch_id)
        if contents is None or not 0 <= chunk_index < len(contents.chunks):
            raise BatchNotFoundError(f"Batch {batch_id} has no chunk {chunk_index}.")
        if contents.chunks[chunk_index].item_start < contents.pruned_item_count:
            raise BatchNotFoundError(f"Chunk {chunk_index} of batch {batch_id} is pruned.")
        return contents, contents.chunks[chunk_index]

    def _set_state(self, batch: Batch, state: BatchState, stamp: str) -> Batch:
        changed = batch.model_copy(update={"state": state, stamp: datetime.now(UTC)})
        self._batches[batch.batch_id] = changed
        return changed

    def _store(self, batch_id: str, chunk: Chunk, state: ChunkState, exceptions: Sequence[ExceptionItem]) -> None:
        """Store exceptions, release the claims that they free, move the chunk on, and store its outbox row."""
        check_exceptions(chunk, exceptions)
        contents, now = self._contents[batch_id], datetime.now(UTC)
        new = {exception.item_no: exception for exception in exceptions}
        if new.keys() & contents.exceptions.keys():
            raise InvariantViolationError(f"An item of chunk {chunk.chunk_index} has an outcome already.")
        contents.exceptions |= new
        contents.stored_at |= dict.fromkeys(new, now)
        contents.chunks[chunk.chunk_index] = chunk._replace(state=state)
        contents.latest_step_at = datetime.now(UTC)
        for item_no, exception in new.items():
            if exception.outcome in RELEASING_OUTCOMES:
                order_id = contents.items[item_no].order_id
                self._claims[order_id] = self._claims[order_id]._replace(is_held=False)
        if new or state == ChunkState.CLOSED:
            self._store_outbox_row(batch_id, chunk, state, now)

    def _payload_of(self, claim: Claim) -> OfferedOrder:
        item = self._contents[claim.batch_id].items[claim.item_no]
        return OfferedOrder(item.order_id, item.account_id, item.amount_minor, item.currency)

    def _outcome_of(self, order_id: str) -> str:
        claim = self._claims[order_id]
        return self._contents[claim.batch_id].outcome_of(claim.item_no)

    def _latest_item(self, order_id: str) -> LatestItem:
        claim = self._claims[order_id]
        contents = self._contents[claim.batch_id]
        item = contents.items[claim.item_no]
        exception = contents.exceptions.get(claim.item_no)
        return LatestItem(
            order_id=order_id,
            batch_id=claim.batch_id,
            opened_at=self._batches[claim.batch_id].opened_at,
            outcome=contents.outcome_of(claim.item_no),
            reason_code=exception.reason_code if exception else None,
            account_id=item.account_id,
            amount_minor=item.amount_minor,
            currency=item.currency,
        )
