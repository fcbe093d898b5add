"""Pruning on PostgreSQL of batches that are past their retention."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from database.access import Database
from database.queries import load_query
from domain import limits
from domain.errors import InvariantViolationError
from schemas.batches import RetiredBatch
from schemas.wire.reports import SinceClosing
from settlement_store.postgres.batch_rows import batch_not_found

_FETCH_RETIRED_BATCHES = load_query("settlement_store.postgres", "fetch_retired_batches")
_QUEUE_TO_OPEN = load_query("settlement_store.postgres", "queue_to_open")
_FETCH_KEPT_REPORTS = load_query("settlement_store.postgres", "fetch_kept_reports")
_BEGIN_PRUNING = load_query("settlement_store.postgres", "begin_pruning")
_LOCK_BATCH_TO_PRUNE = load_query("settlement_store.postgres", "lock_batch_to_prune")
_PRUNE_CHUNKS = load_query("settlement_store.postgres", "prune_chunks")
_SET_BATCH_PRUNED = load_query("settlement_store.postgres", "set_batch_pruned")


_START_OF_TIME = datetime.min.replace(tzinfo=UTC)


class PostgresPruning:
    """`Pruning` on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def fetch_retired_batches(
        self, retention: timedelta, after: RetiredBatch | None, batch_count_max: int
    ) -> Sequence[RetiredBatch]:
        place = (after.closed_at, after.batch_id) if after else (_START_OF_TIME, "")
        async with self._database.reading() as connection:
            rows = await connection.fetch(_FETCH_RETIRED_BATCHES, retention, *place, batch_count_max)
            return [RetiredBatch._make(row) for row in rows]

    async def begin_pruning(self, batch_id: str, since_closing: SinceClosing) -> bool:
        async with self._database.transaction() as connection:
            # No batch can be opened meanwhile: a rerun of this batch either is seen here or sees the mark.
            await connection.execute(_QUEUE_TO_OPEN)
            await connection.execute(_BEGIN_PRUNING, batch_id, since_closing.model_dump_json())
            kept = await connection.fetchrow(_FETCH_KEPT_REPORTS, [batch_id])
            return kept is not None and kept["pruning_began_at"] is not None

    async def prune_chunks(self, batch_id: str) -> int:
        async with self._database.transaction() as connection:
            batch = await connection.fetchrow(_LOCK_BATCH_TO_PRUNE, batch_id)
            if batch is None:
                raise batch_not_found(batch_id)
            if not batch["is_being_pruned"]:
                raise InvariantViolationError(
                    f"Could not prune chunks of batch {batch_id}: it is not marked as being pruned. Nothing was "
                    "written. This is a bug in Settle."
                )
            chunk_size, chunk_start = batch["chunk_size"], batch["pruned_chunk_count"]
            chunk_end = chunk_start + max(1, limits.PRUNE_STEP_ITEM_COUNT // chunk_size)
            item_start = chunk_start * chunk_size
            item_end = min(chunk_end * chunk_size, batch["item_count"])
            if item_start < item_end:
                await connection.execute(_PRUNE_CHUNKS, batch["batch_no"], item_start, item_end, chunk_start, chunk_end)
            chunk_count = -(-batch["item_count"] // chunk_size)
            await connection.execute(
                _SET_BATCH_PRUNED, batch["batch_no"], min(chunk_end, chunk_count), chunk_end >= chunk_count
            )
        return max(0, int(item_end) - int(item_start))
