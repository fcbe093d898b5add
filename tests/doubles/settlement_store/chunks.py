"""Chunks and their items, in memory."""

from collections.abc import Sequence

from domain import limits
from domain.control_totals import sum_outcome_totals
from domain.errors import BatchNotFoundError, ChunkUnfinishedError, InvariantViolationError
from domain.limits import RESULT_BUCKET_COUNT
from schemas.chunks import Chunk, ChunkState, StoredValidation
from schemas.item_outcomes import ItemOutcome
from schemas.items import ExceptionItem, Item, ItemGroup
from schemas.outbox import OutboxRow
from schemas.wire.isolation import ItemRange
from schemas.wire.reasons import RELEASING_OUTCOMES, Outcome, ReasonCode
from schemas.wire.totals import OutcomeTotals
from settlement_store.port.chunks import check_exceptions
from tests.doubles.settlement_store.store_state import Contents, StoreState, now

_ALL_BUCKETS = frozenset(range(RESULT_BUCKET_COUNT))


class MemoryChunks:
    """`Chunks` in memory. `find_chunk` and `store_step` are public for tests that break a step."""

    def __init__(self, state: StoreState) -> None:
        self.state = state

    async def fetch_chunk(self, batch_id: str, chunk_index: int) -> Chunk:
        return self.find_chunk(batch_id, chunk_index)[1]

    async def fetch_pending_items(self, batch_id: str, items: ItemRange) -> list[Item]:
        contents = self.state.contents_of(batch_id)
        return [item for item in contents.live_items(*items) if item.item_no not in contents.exceptions]

    async def store_validation(
        self, batch_id: str, chunk_index: int, exceptions: Sequence[ExceptionItem]
    ) -> StoredValidation:
        contents, chunk = self.find_chunk(batch_id, chunk_index)
        is_new = chunk.state == ChunkState.PLANNED
        if is_new:
            self.store_step(batch_id, chunk, ChunkState.VALIDATED, exceptions)
        return StoredValidation(contents.totals_of(chunk), is_new)

    async def store_outcomes(
        self, batch_id: str, chunk_index: int, exceptions: Sequence[ExceptionItem]
    ) -> OutcomeTotals:
        contents, chunk = self.find_chunk(batch_id, chunk_index)
        if chunk.state == ChunkState.PLANNED:
            raise InvariantViolationError(f"Chunk {chunk_index} of batch {batch_id} has no stored validation.")
        if chunk.state == ChunkState.VALIDATED:
            self.store_step(batch_id, chunk, ChunkState.CLOSED, exceptions)
            conflict_count = sum(e.reason_code == ReasonCode.PAYLOAD_CONFLICT for e in exceptions)
            conflict_count += self.state.batch_of(batch_id).conflict_count
            self.state.set_batch(batch_id, conflict_count=conflict_count)
        return contents.totals_of(chunk)

    async def hold_chunk(self, batch_id: str, chunk_index: int, detail: str) -> OutcomeTotals:
        contents, chunk = self.find_chunk(batch_id, chunk_index)
        if chunk.state != ChunkState.CLOSED:
            is_planned = chunk.state == ChunkState.PLANNED
            reason_code = ReasonCode.NOT_ATTEMPTED if is_planned else ReasonCode.OUTCOME_UNKNOWN
            held = [
                ExceptionItem(
                    item.item_no,
                    Outcome.HELD,
                    ReasonCode.OUTCOME_UNKNOWN if item.inherits_unknown else reason_code,
                    detail[: limits.EXCEPTION_DETAIL_LENGTH_MAX],
                )
                for item in await self.fetch_pending_items(batch_id, chunk.items)
            ]
            self.store_step(batch_id, chunk, ChunkState.CLOSED, held)
        return contents.totals_of(chunk)

    async def fetch_chunk_totals(self, batch_id: str, chunk_index: int) -> OutcomeTotals:
        contents, chunk = self.find_chunk(batch_id, chunk_index)
        if chunk.state != ChunkState.CLOSED:
            raise ChunkUnfinishedError(
                f"Chunk {chunk_index} of batch {batch_id} has no totals yet: it is {chunk.state}, not closed."
            )
        return contents.totals_of(chunk)

    async def fetch_item_groups(self, batch_id: str, item_start: int, item_end: int) -> list[ItemGroup]:
        contents = self.state.contents_of(batch_id)
        groups: dict[tuple[ItemOutcome, str, bool], list[Item]] = {}
        for item in contents.live_items(item_start, item_end):
            group = contents.outcome_of(item.item_no), item.currency, self.state.is_latest(item)
            groups.setdefault(group, []).append(item)
        return [
            ItemGroup(*group, sum(item.amount_minor for item in items), [item.order_id for item in items])
            for group, items in groups.items()
        ]

    async def fetch_unclosed_chunks(self, batch_id: str, after_chunk_index: int, chunk_count_max: int) -> list[int]:
        following = self.state.contents_of(batch_id).chunks[after_chunk_index + 1 :]
        return [chunk.chunk_index for chunk in following if chunk.state != ChunkState.CLOSED][:chunk_count_max]

    async def fetch_outcome_totals(self, batch_id: str) -> OutcomeTotals:
        contents = self.state.contents_of(batch_id)
        return sum_outcome_totals(contents.totals_of(chunk) for chunk in contents.chunks)

    def find_chunk(self, batch_id: str, chunk_index: int) -> tuple[Contents, Chunk]:
        """Return a chunk and its batch's contents.

        Raises:
            BatchNotFoundError: there is no such chunk.
        """
        contents = self.state.contents_of(batch_id)
        if not 0 <= chunk_index < len(contents.chunks):
            raise BatchNotFoundError(f"Batch {batch_id} has no chunk {chunk_index}.")
        if contents.chunks[chunk_index].item_start < contents.pruned_item_count:
            raise BatchNotFoundError(f"Chunk {chunk_index} of batch {batch_id} is pruned.")
        return contents, contents.chunks[chunk_index]

    def store_step(self, batch_id: str, chunk: Chunk, state: ChunkState, exceptions: Sequence[ExceptionItem]) -> None:
        """Store exceptions, release their claims, move the chunk to its next state, and store the outbox row."""
        check_exceptions(chunk, exceptions)
        contents, stored_at = self.state.contents_of(batch_id), now()
        new = {exception.item_no: exception for exception in exceptions}
        if new.keys() & contents.exceptions.keys():
            raise InvariantViolationError(f"An item of chunk {chunk.chunk_index} has an outcome already.")
        contents.exceptions |= new
        contents.stored_at |= dict.fromkeys(new, stored_at)
        contents.chunks[chunk.chunk_index] = chunk._replace(state=state)
        contents.latest_step_at = stored_at
        for item_no, exception in new.items():
            if exception.outcome in RELEASING_OUTCOMES:
                order_id = contents.items[item_no].order_id
                self.state.claims[order_id] = self.state.claims[order_id]._replace(is_held=False)
        if new or state == ChunkState.CLOSED:
            self.state.outbox_no_last += 1
            self.state.outbox[self.state.outbox_no_last] = OutboxRow(
                self.state.outbox_no_last, batch_id, chunk.item_start, chunk.item_end, state, stored_at, _ALL_BUCKETS
            )
