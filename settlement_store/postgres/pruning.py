"""How batches that are past their retention are pruned on PostgreSQL."""

from collections.abc import Sequence
from datetime import UTC, datetime

from database.access import Database
from database.queries import load_query
from domain import limits
from domain.errors import InvariantViolationError
from schemas.batches import BatchReport, RetiredBatch
from settlement_store.port.pruning import check_report
from settlement_store.postgres.batch_rows import batch_not_found

_FETCH_RETIRED_BATCHES = load_query("settlement_store.postgres", "fetch_retired_batches")
_QUEUE_TO_OPEN = load_query("settlement_store.postgres", "queue_to_open")
_KEEP_REPORT = load_query("settlement_store.postgres", "keep_report")
_FETCH_KEPT_REPORT = load_query("settlement_store.postgres", "fetch_kept_report")
_LOCK_BATCH_TO_PRUNE = load_query("settlement_store.postgres", "lock_batch_to_prune")
_PRUNE_CHUNKS = load_query("settlement_store.postgres", "prune_chunks")
_SET_BATCH_PRUNED = load_query("settlement_store.postgres", "set_batch_pruned")


_START_OF_TIME = datetime.min.replace(tzinfo=UTC)


class PostgresPruning:
    """`Pruning` on PostgreSQL; see the port for what each method promises."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def fetch_retired_batches(
        self, closed_before: datetime, after: RetiredBatch | None, batch_count_max: int
    ) -> Sequence[RetiredBatch]:
        """See the port."""
        place = (after.closed_at, after.batch_id) if after else (_START_OF_TIME, "")
        async with self._database.reading() as connection:
            rows = await connection.fetch(_FETCH_RETIRED_BATCHES, closed_before, *place, batch_count_max)
            return [RetiredBatch._make(row) for row in rows]

    async def keep_report(self, report: BatchReport) -> bool:
        """See the port."""
        check_report(report)
        async with self._database.transaction() as connection:
            # No batch is opened meanwhile: one that reruns this batch is either seen here, or sees the kept report.
            await connection.execute(_QUEUE_TO_OPEN)
            await connection.execute(_KEEP_REPORT, report.batch_id, report.model_dump_json())
            return await connection.fetchval(_FETCH_KEPT_REPORT, report.batch_id) is not None

    async def fetch_kept_report(self, batch_id: str) -> BatchReport | None:
        """See the port."""
        async with self._database.reading() as connection:
            report = await connection.fetchval(_FETCH_KEPT_REPORT, batch_id)
            return BatchReport.model_validate_json(report) if report else None

    async def prune_chunks(self, batch_id: str) -> int:
        """See the port."""
        async with self._database.transaction() as connection:
            batch = await connection.fetchrow(_LOCK_BATCH_TO_PRUNE, batch_id)
            if batch is None:
                raise batch_not_found(batch_id)
            if not batch["is_kept"]:
                raise InvariantViolationError(
                    f"Batch {batch_id} was to be pruned before its report was kept. Nothing was written; this is an "
                    "error in Settle."
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
