"""The settlement store on PostgreSQL: set-based SQL, one transaction a step."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from database.columns import flags_of, integer_column, integers_of, texts_of
from database.pools import Connection
from database.queries import load_query
from domain import limits
from domain.control_totals import outcome_totals_of, totals_of
from domain.errors import (
    BatchNotFoundError,
    BatchNotOpenError,
    ChunkUnfinishedError,
    InvariantViolationError,
)
from domain.tables import Table
from schemas.batches import (
    FINAL_STATES,
    Batch,
    BatchPlan,
    BatchProgress,
    BatchState,
    Chunk,
    ChunkState,
    ControlTotals,
    ExceptionItem,
    Item,
    ItemGroup,
    OutcomeTotals,
    StoredValidation,
)
from schemas.reasons import ReasonCode
from settlement_store.port import RELEASING_OUTCOMES, check_exceptions
from settlement_store.postgres.audit import PostgresAuditReads
from settlement_store.postgres.batch_rows import batch_not_found, batch_of, fetch_batch_no, fetch_batch_row, lock_batch
from settlement_store.postgres.caps import PostgresCreditBuckets
from settlement_store.postgres.control import PostgresBatchControl
from settlement_store.postgres.filling import PostgresBatchFilling
from settlement_store.postgres.orders import PostgresOrderReads
from settlement_store.postgres.outbox import PostgresOutbox
from settlement_store.postgres.pruning import PostgresPruning
from settlement_store.postgres.unclosed import PostgresUnclosedBatches


def _query(name: str) -> str:
    return load_query("settlement_store.postgres", name)


class _Sql:
    """The statements, read once."""

    count_conflicts = _query("count_conflicts")
    fetch_batches = _query("fetch_batches")
    fetch_chunk = _query("fetch_chunk")
    fetch_chunk_totals = _query("fetch_chunk_totals")
    fetch_item_groups = _query("fetch_item_groups")
    fetch_pending_items = _query("fetch_pending_items")
    fetch_planned_totals = _query("fetch_planned_totals")
    fetch_progress = _query("fetch_progress")
    fetch_reason_counts = _query("fetch_reason_counts")
    hold_pending_items = _query("hold_pending_items")
    lock_chunk = _query("lock_chunk")
    release_claims = _query("release_claims")
    set_batch_final = _query("set_batch_final")
    set_batch_running = _query("set_batch_running")
    set_chunk_state = _query("set_chunk_state")
    store_chunk_totals = _query("store_chunk_totals")
    store_exceptions = _query("store_exceptions")
    store_outbox_row = _query("store_outbox_row")
    store_reject_totals = _query("store_reject_totals")


class _LockedChunk(NamedTuple):
    batch_no: int
    chunk: Chunk


class PostgresSettlementStore(
    PostgresBatchFilling,
    PostgresBatchControl,
    PostgresUnclosedBatches,
    PostgresPruning,
    PostgresOutbox,
    PostgresCreditBuckets,
    PostgresOrderReads,
    PostgresAuditReads,
):
    """`SettlementStore` on PostgreSQL; see the port for what each method promises.

    Here is what batches and chunks go through once they are frozen, and what is read of them.
    """

    async def start_batch(self, batch_id: str) -> BatchPlan:
        """See the port."""
        async with self._transaction() as connection:
            locked = await lock_batch(connection, batch_id)
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
            business_date=batch.business_date,
            cutoff_at=batch.cutoff_at,
            planned=await self.fetch_planned_totals(batch_id),
            control=await self.fetch_control(batch_id),
        )

    async def fetch_chunk(self, batch_id: str, chunk_index: int) -> Chunk:
        """See the port."""
        async with self._pool.acquire() as connection:
            return (await _read_chunk(connection, _Sql.fetch_chunk, batch_id, chunk_index)).chunk

    async def fetch_pending_items(self, batch_id: str, chunk: Chunk) -> Sequence[Item]:
        """See the port."""
        [row] = await self._pool.fetch(_Sql.fetch_pending_items, batch_id, chunk.item_start, chunk.item_end)
        batch_no, item_nos, order_ids, account_ids, amounts_minor, currencies, claim_nos, inherit_unknown = row
        if batch_no is None:
            raise batch_not_found(batch_id)
        columns = (
            integers_of(item_nos),
            texts_of(order_ids),
            texts_of(account_ids),
            integers_of(amounts_minor),
            texts_of(currencies),
            integers_of(claim_nos),
            flags_of(inherit_unknown),
        )
        return Table(Item, columns)

    async def store_validation(
        self, batch_id: str, chunk_index: int, exceptions: Sequence[ExceptionItem]
    ) -> StoredValidation:
        """See the port."""
        async with self._transaction() as connection:
            batch_no, chunk = await _read_chunk(connection, _Sql.lock_chunk, batch_id, chunk_index)
            if chunk.state != ChunkState.PLANNED:
                totals = await _stored_chunk_totals(connection, batch_no, chunk_index)
                return StoredValidation(totals, is_new=False)
            await _store_exceptions(connection, batch_no, chunk, exceptions)
            if exceptions:
                await _store_outbox_row(connection, batch_no, chunk, ChunkState.VALIDATED)
            totals = await _move_chunk(
                connection, batch_no, chunk, ChunkState.VALIDATED, store_totals=_Sql.store_reject_totals
            )
            return StoredValidation(totals, is_new=True)

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
            batch = await fetch_batch_row(connection, batch_id)
            rows = await connection.fetch(
                _Sql.fetch_item_groups, batch["batch_no"], item_start, item_end, batch["chunk_size"]
            )
        return [ItemGroup._make(row)._replace(order_ids=texts_of(row["order_ids"])) for row in rows]

    async def close_batch(self, batch_id: str, *, balanced: bool) -> Batch:
        """See the port."""
        async with self._pool.acquire() as connection:
            await connection.execute(_Sql.set_batch_final, await fetch_batch_no(connection, batch_id), balanced)
        batch = await self.fetch_batch(batch_id)
        if batch.state not in FINAL_STATES:
            raise InvariantViolationError(f"Batch {batch_id} is {batch.state} and has chunks that are not closed.")
        return batch

    async def fetch_batch(self, batch_id: str) -> Batch:
        """See the port."""
        async with self._pool.acquire() as connection:
            return batch_of(await fetch_batch_row(connection, batch_id))

    async def fetch_batches(self, batch_count_max: int) -> list[Batch]:
        """See the port."""
        async with self._pool.acquire() as connection:
            return [batch_of(row) for row in await connection.fetch(_Sql.fetch_batches, batch_count_max)]

    async def fetch_planned_totals(self, batch_id: str) -> ControlTotals:
        """See the port."""
        async with self._pool.acquire() as connection:
            rows = await connection.fetch(_Sql.fetch_planned_totals, await fetch_batch_no(connection, batch_id))
        return totals_of(tuple(row) for row in rows)

    async def fetch_reason_counts(self, batch_id: str) -> dict[str, int]:
        """See the port."""
        async with self._pool.acquire() as connection:
            rows = await connection.fetch(_Sql.fetch_reason_counts, await fetch_batch_no(connection, batch_id))
        return {row["reason_code"]: row["item_count"] for row in rows}

    async def fetch_progress(self, batch_id: str) -> BatchProgress:
        """See the port."""
        async with self._pool.acquire() as connection:
            row = await connection.fetchrow(_Sql.fetch_progress, batch_id)
        if row is None:
            raise batch_not_found(batch_id)
        return BatchProgress.model_validate(dict(row))

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Connection]:
        async with self._pool.acquire() as connection, connection.transaction():
            yield connection


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
        json.dumps([exception._asdict() for exception in exceptions]),
    )
    if status != f"INSERT 0 {len(exceptions)}":
        raise InvariantViolationError(
            f"Chunk {chunk.chunk_index} was given an outcome for an item that has one already ({status}). "
            "Nothing was written; this is an error in Settle."
        )
    released = [exception.item_no for exception in exceptions if exception.outcome in RELEASING_OUTCOMES]
    if released:
        await connection.execute(_Sql.release_claims, batch_no, integer_column(released))


async def _close_chunk(connection: Connection, batch_no: int, chunk: Chunk) -> OutcomeTotals:
    await _store_outbox_row(connection, batch_no, chunk, ChunkState.CLOSED)
    return await _move_chunk(connection, batch_no, chunk, ChunkState.CLOSED, store_totals=_Sql.store_chunk_totals)


async def _store_outbox_row(connection: Connection, batch_no: int, chunk: Chunk, step: ChunkState) -> None:
    await connection.execute(_Sql.store_outbox_row, batch_no, chunk.item_start, chunk.item_end, step)


async def _move_chunk(
    connection: Connection, batch_no: int, chunk: Chunk, state: ChunkState, *, store_totals: str
) -> OutcomeTotals:
    await connection.execute(_Sql.set_chunk_state, batch_no, chunk.chunk_index, state)
    rows = await connection.fetch(store_totals, batch_no, chunk.chunk_index, chunk.item_start, chunk.item_end)
    return outcome_totals_of(tuple(row) for row in rows)
