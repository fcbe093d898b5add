"""Chunks and their items on PostgreSQL: set-based SQL, one transaction for each step."""

import json
from collections.abc import Sequence
from typing import NamedTuple

from database.access import Database
from database.columns import flags_of, integer_column, integers_of, texts_of
from database.pools import Connection
from database.queries import load_query
from domain import limits
from domain.control_totals import outcome_totals_of
from domain.errors import (
    BatchNotFoundError,
    ChunkUnfinishedError,
    InvariantViolationError,
)
from schemas.chunks import Chunk, ChunkState, StoredValidation
from schemas.item_outcomes import ITEM_OUTCOME_BY_TEXT
from schemas.items import ExceptionItem, Item, ItemGroup
from schemas.tables import Table
from schemas.wire.isolation import ItemRange
from schemas.wire.reasons import RELEASING_OUTCOMES, ReasonCode
from schemas.wire.totals import OutcomeTotals
from settlement_store.port.chunks import check_exceptions
from settlement_store.postgres.batch_rows import batch_not_found, fetch_batch_no, fetch_batch_row

_COUNT_CONFLICTS = load_query("settlement_store.postgres", "count_conflicts")
_FETCH_CHUNK = load_query("settlement_store.postgres", "fetch_chunk")
_FETCH_CHUNK_TOTALS = load_query("settlement_store.postgres", "fetch_chunk_totals")
_FETCH_ITEM_GROUPS = load_query("settlement_store.postgres", "fetch_item_groups")
_FETCH_OUTCOME_TOTALS = load_query("settlement_store.postgres", "fetch_outcome_totals")
_FETCH_PENDING_ITEMS = load_query("settlement_store.postgres", "fetch_pending_items")
_FETCH_UNCLOSED_CHUNKS = load_query("settlement_store.postgres", "fetch_unclosed_chunks")
_HOLD_PENDING_ITEMS = load_query("settlement_store.postgres", "hold_pending_items")
_LOCK_CHUNK = load_query("settlement_store.postgres", "lock_chunk")
_RELEASE_CLAIMS = load_query("settlement_store.postgres", "release_claims")
_SET_CHUNK_STATE = load_query("settlement_store.postgres", "set_chunk_state")
_STORE_CHUNK_TOTALS = load_query("settlement_store.postgres", "store_chunk_totals")
_STORE_EXCEPTIONS = load_query("settlement_store.postgres", "store_exceptions")
_STORE_OUTBOX_ROW = load_query("settlement_store.postgres", "store_outbox_row")
_STORE_REJECT_TOTALS = load_query("settlement_store.postgres", "store_reject_totals")


class _LockedChunk(NamedTuple):
    batch_no: int
    chunk: Chunk


class PostgresChunks:
    """`Chunks` on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def fetch_chunk(self, batch_id: str, chunk_index: int) -> Chunk:
        async with self._database.reading() as connection:
            return (await _read_chunk(connection, _FETCH_CHUNK, batch_id, chunk_index)).chunk

    async def fetch_pending_items(self, batch_id: str, items: ItemRange) -> Sequence[Item]:
        async with self._database.reading() as connection:
            [row] = await connection.fetch(_FETCH_PENDING_ITEMS, batch_id, *items)
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
        async with self._database.transaction() as connection:
            batch_no, chunk = await _read_chunk(connection, _LOCK_CHUNK, batch_id, chunk_index)
            if chunk.state != ChunkState.PLANNED:
                totals = await _stored_chunk_totals(connection, batch_no, chunk_index)
                return StoredValidation(totals, is_new=False)
            await _store_exceptions(connection, batch_no, chunk, exceptions)
            if exceptions:
                await _store_outbox_row(connection, batch_no, chunk, ChunkState.VALIDATED)
            totals = await _move_chunk(
                connection, batch_no, chunk, ChunkState.VALIDATED, store_totals=_STORE_REJECT_TOTALS
            )
            return StoredValidation(totals, is_new=True)

    async def store_outcomes(
        self, batch_id: str, chunk_index: int, exceptions: Sequence[ExceptionItem]
    ) -> OutcomeTotals:
        async with self._database.transaction() as connection:
            batch_no, chunk = await _read_chunk(connection, _LOCK_CHUNK, batch_id, chunk_index)
            if chunk.state == ChunkState.CLOSED:
                return await _stored_chunk_totals(connection, batch_no, chunk_index)
            if chunk.state == ChunkState.PLANNED:
                raise InvariantViolationError(
                    f"Could not store the outcomes of chunk {chunk_index} of batch {batch_id}: it has no stored "
                    "validation. Nothing was written. Look at the chunk's workflow in the Temporal web UI."
                )
            await _store_exceptions(connection, batch_no, chunk, exceptions)
            totals = await _close_chunk(connection, batch_no, chunk)
            conflict_count = sum(e.reason_code == ReasonCode.PAYLOAD_CONFLICT for e in exceptions)
            if conflict_count:
                # Last, because all chunks of a batch share its row: it stays locked only until the commit.
                await connection.execute(_COUNT_CONFLICTS, batch_no, conflict_count)
            return totals

    async def hold_chunk(self, batch_id: str, chunk_index: int, detail: str) -> OutcomeTotals:
        async with self._database.transaction() as connection:
            batch_no, chunk = await _read_chunk(connection, _LOCK_CHUNK, batch_id, chunk_index)
            if chunk.state == ChunkState.CLOSED:
                return await _stored_chunk_totals(connection, batch_no, chunk_index)
            reason = ReasonCode.NOT_ATTEMPTED if chunk.state == ChunkState.PLANNED else ReasonCode.OUTCOME_UNKNOWN
            await connection.execute(
                _HOLD_PENDING_ITEMS,
                batch_no,
                chunk.item_start,
                chunk.item_end,
                reason,
                detail[: limits.EXCEPTION_DETAIL_LENGTH_MAX],
            )
            return await _close_chunk(connection, batch_no, chunk)

    async def fetch_chunk_totals(self, batch_id: str, chunk_index: int) -> OutcomeTotals:
        async with self._database.reading() as connection:
            batch_no, chunk = await _read_chunk(connection, _FETCH_CHUNK, batch_id, chunk_index)
            if chunk.state != ChunkState.CLOSED:
                raise ChunkUnfinishedError(
                    f"Chunk {chunk_index} of batch {batch_id} has no totals yet: it is {chunk.state}, not closed."
                )
            return await _stored_chunk_totals(connection, batch_no, chunk_index)

    async def fetch_item_groups(self, batch_id: str, item_start: int, item_end: int) -> list[ItemGroup]:
        async with self._database.reading() as connection:
            batch = await fetch_batch_row(connection, batch_id)
            rows = await connection.fetch(
                _FETCH_ITEM_GROUPS, batch["batch_no"], item_start, item_end, batch["chunk_size"]
            )
            return [
                ItemGroup._make(row)._replace(
                    outcome=ITEM_OUTCOME_BY_TEXT[row["outcome"]], order_ids=texts_of(row["order_ids"])
                )
                for row in rows
            ]

    async def fetch_unclosed_chunks(self, batch_id: str, after_chunk_index: int, chunk_count_max: int) -> list[int]:
        async with self._database.reading() as connection:
            batch_no = await fetch_batch_no(connection, batch_id)
            rows = await connection.fetch(_FETCH_UNCLOSED_CHUNKS, batch_no, after_chunk_index, chunk_count_max)
            return [row["chunk_index"] for row in rows]

    async def fetch_outcome_totals(self, batch_id: str) -> OutcomeTotals:
        async with self._database.reading() as connection:
            rows = await connection.fetch(_FETCH_OUTCOME_TOTALS, await fetch_batch_no(connection, batch_id))
            return outcome_totals_of(tuple(row) for row in rows)


async def _read_chunk(connection: Connection, query: str, batch_id: str, chunk_index: int) -> _LockedChunk:
    row = await connection.fetchrow(query, batch_id, chunk_index)
    if row is None:
        raise BatchNotFoundError(f"Batch {batch_id} has no chunk {chunk_index}.")
    batch_no, *chunk = row
    return _LockedChunk(batch_no, Chunk._make(chunk))


async def _stored_chunk_totals(connection: Connection, batch_no: int, chunk_index: int) -> OutcomeTotals:
    rows = await connection.fetch(_FETCH_CHUNK_TOTALS, batch_no, chunk_index)
    return outcome_totals_of(tuple(row) for row in rows)


async def _store_exceptions(
    connection: Connection, batch_no: int, chunk: Chunk, exceptions: Sequence[ExceptionItem]
) -> None:
    if not exceptions:
        return
    check_exceptions(chunk, exceptions)
    status = await connection.execute(
        _STORE_EXCEPTIONS,
        batch_no,
        json.dumps([exception._asdict() for exception in exceptions]),
    )
    if status != f"INSERT 0 {len(exceptions)}":
        raise InvariantViolationError(
            f"Could not store {len(exceptions)} exception items of chunk {chunk.chunk_index}: an item has an outcome "
            f"already ({status}). Nothing was written. This is a bug in Settle."
        )
    released = [exception.item_no for exception in exceptions if exception.outcome in RELEASING_OUTCOMES]
    if released:
        await connection.execute(_RELEASE_CLAIMS, batch_no, integer_column(released))


async def _close_chunk(connection: Connection, batch_no: int, chunk: Chunk) -> OutcomeTotals:
    await _store_outbox_row(connection, batch_no, chunk, ChunkState.CLOSED)
    return await _move_chunk(connection, batch_no, chunk, ChunkState.CLOSED, store_totals=_STORE_CHUNK_TOTALS)


async def _store_outbox_row(connection: Connection, batch_no: int, chunk: Chunk, step: ChunkState) -> None:
    await connection.execute(_STORE_OUTBOX_ROW, batch_no, chunk.item_start, chunk.item_end, step)


async def _move_chunk(
    connection: Connection, batch_no: int, chunk: Chunk, state: ChunkState, *, store_totals: str
) -> OutcomeTotals:
    await connection.execute(_SET_CHUNK_STATE, batch_no, chunk.chunk_index, state)
    rows = await connection.fetch(store_totals, batch_no, chunk.chunk_index, chunk.item_start, chunk.item_end)
    return outcome_totals_of(tuple(row) for row in rows)
