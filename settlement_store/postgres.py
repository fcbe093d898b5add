"""The settlement store on PostgreSQL: set-based SQL, one transaction a step."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from database.pools import Connection, Row
from database.queries import load_query
from domain import limits
from domain.control_totals import outcome_totals_of, totals_of
from domain.errors import (
    BatchMismatchError,
    BatchNotFoundError,
    BatchNotOpenError,
    ChunkUnfinishedError,
    InvariantViolationError,
)
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
)
from schemas.reasons import ReasonCode
from settlement_store.audit_reads import PostgresAuditReads
from settlement_store.port import RELEASING_OUTCOMES, check_exceptions, check_offers


def _query(name: str) -> str:
    return load_query("settlement_store", name)


class _Sql:
    """The statements, read once."""

    append_alone = _query("append_alone")
    append_beside_others = _query("append_beside_others")
    append_orders = _query("append_orders")
    count_appended = _query("count_appended")
    count_conflicts = _query("count_conflicts")
    fetch_batch = _query("fetch_batch")
    fetch_batches = _query("fetch_batches")
    fetch_chunk = _query("fetch_chunk")
    fetch_chunk_totals = _query("fetch_chunk_totals")
    fetch_item_groups = _query("fetch_item_groups")
    fetch_pending_items = _query("fetch_pending_items")
    fetch_planned_totals = _query("fetch_planned_totals")
    fetch_progress = _query("fetch_progress")
    fetch_reason_counts = _query("fetch_reason_counts")
    hold_pending_items = _query("hold_pending_items")
    lock_batch = _query("lock_batch")
    lock_chunk = _query("lock_chunk")
    open_batch = _query("open_batch")
    release_claims = _query("release_claims")
    set_batch_final = _query("set_batch_final")
    set_batch_frozen = _query("set_batch_frozen")
    set_batch_running = _query("set_batch_running")
    set_chunk_state = _query("set_chunk_state")
    store_chunk_totals = _query("store_chunk_totals")
    store_chunks = _query("store_chunks")
    store_exceptions = _query("store_exceptions")
    store_reject_totals = _query("store_reject_totals")


class _LockedChunk(NamedTuple):
    batch_no: int
    chunk: Chunk


class _ClaimRaceError(InvariantViolationError):
    """A rival claimed one of the orders between the look and the insert, which is possible only beside others."""


class PostgresSettlementStore(PostgresAuditReads):
    """`SettlementStore` on PostgreSQL; see the port for what each method promises."""

    async def open_batch(self, opening: BatchOpening) -> Batch:
        """See the port."""
        async with self._pool.acquire() as connection:
            await connection.execute(
                _Sql.open_batch,
                opening.batch_id,
                opening.source,
                opening.business_date,
                opening.cutoff_at,
                opening.chunk_size,
                opening.window,
            )
        batch = await self.fetch_batch(opening.batch_id)
        if BatchOpening.model_validate(batch.model_dump(include=set(BatchOpening.model_fields))) != opening:
            raise BatchMismatchError(
                f"Batch {opening.batch_id} exists with another source, business date, cutoff, chunk size or window. "
                "Look at it with: settle status, or choose another batch id."
            )
        return batch

    async def append_orders(self, batch_id: str, orders: Sequence[OfferedOrder]) -> AppendResult:
        """See the port."""
        check_offers(orders)
        try:
            return await self._append_orders(batch_id, orders, queue=_Sql.append_beside_others)
        except _ClaimRaceError:
            # Rivals could win again and again; alone there is none.
            return await self._append_orders(batch_id, orders, queue=_Sql.append_alone)

    async def _append_orders(self, batch_id: str, orders: Sequence[OfferedOrder], *, queue: str) -> AppendResult:
        async with self._transaction() as connection:
            batch = await _lock_batch(connection, batch_id)
            if batch["state"] != BatchState.OPEN:
                raise BatchNotOpenError(f"Batch {batch_id} is {batch['state']} and takes no more orders.")
            # After the batch's row, always: locks in one order never deadlock.
            await connection.execute(queue)
            row = await connection.fetchrow(
                _Sql.append_orders,
                batch["batch_no"],
                batch["item_count"],
                [order.order_id for order in orders],
                [order.account_id for order in orders],
                [order.amount_minor for order in orders],
                [order.currency for order in orders],
            )
            if row is None or row["claimed_count"] != row["numbered_count"]:
                raise _ClaimRaceError(
                    f"An order offered to batch {batch_id} was claimed by an append that did not queue."
                )
            await connection.execute(
                _Sql.count_appended,
                batch["batch_no"],
                row["claimed_count"],
                row["duplicate_count"],
                row["conflict_count"],
            )
        return AppendResult(
            claimed_count=row["claimed_count"],
            duplicate_count=row["duplicate_count"],
            conflict_count=row["conflict_count"],
            unanswered_conflict_order_ids=tuple(row["unanswered_conflict_order_ids"]),
        )

    async def freeze_batch(self, batch_id: str) -> None:
        """See the port."""
        async with self._transaction() as connection:
            batch = await _lock_batch(connection, batch_id)
            if batch["state"] != BatchState.OPEN:
                return
            await connection.execute(_Sql.store_chunks, batch["batch_no"], batch["item_count"], batch["chunk_size"])
            await connection.execute(_Sql.set_batch_frozen, batch["batch_no"])

    async def start_batch(self, batch_id: str) -> BatchPlan:
        """See the port."""
        async with self._transaction() as connection:
            locked = await _lock_batch(connection, batch_id)
            if locked["state"] == BatchState.OPEN:
                raise BatchNotOpenError(f"Batch {batch_id} is still open; it starts once it is frozen.")
            await connection.execute(_Sql.set_batch_running, locked["batch_no"])
        batch = await self.fetch_batch(batch_id)
        progress = await self.fetch_progress(batch_id)
        return BatchPlan(
            state=batch.state,
            chunk_count=progress.chunk_count,
            chunk_size=batch.chunk_size,
            window=batch.window,
            cutoff_at=batch.cutoff_at,
            planned=await self.fetch_planned_totals(batch_id),
        )

    async def fetch_chunk(self, batch_id: str, chunk_index: int) -> Chunk:
        """See the port."""
        async with self._pool.acquire() as connection:
            return (await _read_chunk(connection, _Sql.fetch_chunk, batch_id, chunk_index)).chunk

    async def fetch_pending_items(self, batch_id: str, chunk: Chunk) -> list[Item]:
        """See the port."""
        async with self._pool.acquire() as connection:
            batch_no = await _batch_no(connection, batch_id)
            rows = await connection.fetch(_Sql.fetch_pending_items, batch_no, chunk.item_start, chunk.item_end)
        return [Item._make(row) for row in rows]

    async def store_validation(
        self, batch_id: str, chunk_index: int, rejects: Sequence[ExceptionItem]
    ) -> OutcomeTotals:
        """See the port."""
        async with self._transaction() as connection:
            batch_no, chunk = await _read_chunk(connection, _Sql.lock_chunk, batch_id, chunk_index)
            if chunk.state != ChunkState.PLANNED:
                return await _stored_chunk_totals(connection, batch_no, chunk_index)
            await _store_exceptions(connection, batch_no, chunk, rejects)
            return await _move_chunk(
                connection, batch_no, chunk, ChunkState.VALIDATED, store_totals=_Sql.store_reject_totals
            )

    async def store_outcomes(
        self, batch_id: str, chunk_index: int, exceptions: Sequence[ExceptionItem]
    ) -> OutcomeTotals:
        """See the port."""
        async with self._transaction() as connection:
            batch_no, chunk = await _read_chunk(connection, _Sql.lock_chunk, batch_id, chunk_index)
            if chunk.state == ChunkState.CLOSED:
                return await _stored_chunk_totals(connection, batch_no, chunk_index)
            if chunk.state == ChunkState.PLANNED:
                raise InvariantViolationError(
                    f"Chunk {chunk_index} of batch {batch_id} has outcomes but no stored validation. "
                    "Nothing was written; look at the chunk's workflow in the Temporal web UI."
                )
            await _store_exceptions(connection, batch_no, chunk, exceptions)
            totals = await _close_chunk(connection, batch_no, chunk)
            conflict_count = sum(e.reason_code == ReasonCode.PAYLOAD_CONFLICT for e in exceptions)
            if conflict_count:
                # Last, for the chunks of a batch share its row: it is locked only until the commit that follows.
                await connection.execute(_Sql.count_conflicts, batch_no, conflict_count)
            return totals

    async def hold_chunk(self, batch_id: str, chunk_index: int, detail: str) -> OutcomeTotals:
        """See the port."""
        async with self._transaction() as connection:
            batch_no, chunk = await _read_chunk(connection, _Sql.lock_chunk, batch_id, chunk_index)
            if chunk.state == ChunkState.CLOSED:
                return await _stored_chunk_totals(connection, batch_no, chunk_index)
            reason = ReasonCode.NOT_ATTEMPTED if chunk.state == ChunkState.PLANNED else ReasonCode.OUTCOME_UNKNOWN
            await connection.execute(
                _Sql.hold_pending_items,
                batch_no,
                chunk.item_start,
                chunk.item_end,
                reason,
                detail[: limits.EXCEPTION_DETAIL_LENGTH_MAX],
            )
            return await _close_chunk(connection, batch_no, chunk)

    async def fetch_chunk_totals(self, batch_id: str, chunk_index: int) -> OutcomeTotals:
        """See the port."""
        async with self._pool.acquire() as connection:
            batch_no, chunk = await _read_chunk(connection, _Sql.fetch_chunk, batch_id, chunk_index)
            if chunk.state != ChunkState.CLOSED:
                raise ChunkUnfinishedError(
                    f"Chunk {chunk_index} of batch {batch_id} is {chunk.state}: it has no totals yet."
                )
            return await _stored_chunk_totals(connection, batch_no, chunk_index)

    async def fetch_item_groups(self, batch_id: str, item_start: int, item_end: int) -> list[ItemGroup]:
        """See the port."""
        async with self._pool.acquire() as connection:
            batch = await _fetch_batch_row(connection, batch_id)
            rows = await connection.fetch(
                _Sql.fetch_item_groups, batch["batch_no"], item_start, item_end, batch["chunk_size"]
            )
        return [ItemGroup._make(row) for row in rows]

    async def close_batch(self, batch_id: str, *, balanced: bool) -> Batch:
        """See the port."""
        state = BatchState.CLOSED if balanced else BatchState.OUT_OF_BALANCE
        async with self._pool.acquire() as connection:
            await connection.execute(_Sql.set_batch_final, await _batch_no(connection, batch_id), state)
        batch = await self.fetch_batch(batch_id)
        if batch.state not in FINAL_STATES:
            raise InvariantViolationError(f"Batch {batch_id} is {batch.state} and has chunks that are not closed.")
        return batch

    async def fetch_batch(self, batch_id: str) -> Batch:
        """See the port."""
        async with self._pool.acquire() as connection:
            return _batch_of(await _fetch_batch_row(connection, batch_id))

    async def fetch_batches(self, batch_count_max: int) -> list[Batch]:
        """See the port."""
        async with self._pool.acquire() as connection:
            return [_batch_of(row) for row in await connection.fetch(_Sql.fetch_batches, batch_count_max)]

    async def fetch_planned_totals(self, batch_id: str) -> ControlTotals:
        """See the port."""
        async with self._pool.acquire() as connection:
            rows = await connection.fetch(_Sql.fetch_planned_totals, await _batch_no(connection, batch_id))
        return totals_of(tuple(row) for row in rows)

    async def fetch_reason_counts(self, batch_id: str) -> dict[str, int]:
        """See the port."""
        async with self._pool.acquire() as connection:
            rows = await connection.fetch(_Sql.fetch_reason_counts, await _batch_no(connection, batch_id))
        return {row["reason_code"]: row["item_count"] for row in rows}

    async def fetch_progress(self, batch_id: str) -> BatchProgress:
        """See the port."""
        async with self._pool.acquire() as connection:
            row = await connection.fetchrow(_Sql.fetch_progress, batch_id)
        if row is None:
            raise _batch_not_found(batch_id)
        return BatchProgress.model_validate(dict(row))

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Connection]:
        async with self._pool.acquire() as connection, connection.transaction():
            yield connection


def _batch_not_found(batch_id: str) -> BatchNotFoundError:
    return BatchNotFoundError(f"There is no batch {batch_id}. List the batches with: settle batches")


def _batch_of(row: Row) -> Batch:
    fields = dict(row)
    return Batch.model_validate({**fields, "window": fields["window_size"]})


async def _fetch_batch_row(connection: Connection, batch_id: str) -> Row:
    row = await connection.fetchrow(_Sql.fetch_batch, batch_id)
    if row is None:
        raise _batch_not_found(batch_id)
    return row


async def _batch_no(connection: Connection, batch_id: str) -> int:
    return int((await _fetch_batch_row(connection, batch_id))["batch_no"])


async def _lock_batch(connection: Connection, batch_id: str) -> Row:
    row = await connection.fetchrow(_Sql.lock_batch, batch_id)
    if row is None:
        raise _batch_not_found(batch_id)
    return row


async def _read_chunk(connection: Connection, query: str, batch_id: str, chunk_index: int) -> _LockedChunk:
    row = await connection.fetchrow(query, batch_id, chunk_index)
    if row is None:
        raise BatchNotFoundError(f"Batch {batch_id} has no chunk {chunk_index}.")
    batch_no, *chunk = row
    return _LockedChunk(batch_no, Chunk._make(chunk))


async def _stored_chunk_totals(connection: Connection, batch_no: int, chunk_index: int) -> OutcomeTotals:
    rows = await connection.fetch(_Sql.fetch_chunk_totals, batch_no, chunk_index)
    return outcome_totals_of(tuple(row) for row in rows)


async def _store_exceptions(
    connection: Connection, batch_no: int, chunk: Chunk, exceptions: Sequence[ExceptionItem]
) -> None:
    if not exceptions:
        return
    check_exceptions(chunk, exceptions)
    status = await connection.execute(
        _Sql.store_exceptions,
        batch_no,
        [exception.item_no for exception in exceptions],
        [exception.outcome for exception in exceptions],
        [exception.reason_code for exception in exceptions],
        [exception.detail for exception in exceptions],
    )
    if status != f"INSERT 0 {len(exceptions)}":
        raise InvariantViolationError(
            f"Chunk {chunk.chunk_index} was given an outcome for an item that has one already ({status}). "
            "Nothing was written; this is an error in Settle."
        )
    released = [exception.item_no for exception in exceptions if exception.outcome in RELEASING_OUTCOMES]
    if released:
        await connection.execute(_Sql.release_claims, batch_no, released)


async def _close_chunk(connection: Connection, batch_no: int, chunk: Chunk) -> OutcomeTotals:
    return await _move_chunk(connection, batch_no, chunk, ChunkState.CLOSED, store_totals=_Sql.store_chunk_totals)


async def _move_chunk(
    connection: Connection, batch_no: int, chunk: Chunk, state: ChunkState, *, store_totals: str
) -> OutcomeTotals:
    await connection.execute(_Sql.set_chunk_state, batch_no, chunk.chunk_index, state)
    rows = await connection.fetch(store_totals, batch_no, chunk.chunk_index, chunk.item_start, chunk.item_end)
    return outcome_totals_of(tuple(row) for row in rows)
