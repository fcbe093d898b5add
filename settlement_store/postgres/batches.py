"""Batches as a whole on PostgreSQL: states, totals, progress."""

from datetime import timedelta

from database.access import Database
from database.pools import Connection
from database.queries import load_query
from domain import limits
from domain.control_totals import totals_of
from domain.errors import (
    BatchNotOpenError,
    InvariantViolationError,
)
from schemas.batches import Batch, BatchProgress, UnclosedBatch
from schemas.wire.batches import FINAL_STATES, BatchPlan, BatchState
from schemas.wire.reports import BatchReport
from schemas.wire.totals import ControlTotals
from settlement_store.port.batches import batch_paused, check_closing_report
from settlement_store.postgres.batch_rows import batch_not_found, batch_of, fetch_batch_no, fetch_batch_row, lock_batch
from settlement_store.postgres.control import fetch_control_on
from settlement_store.postgres.reports import report_json_of

_FETCH_BATCHES = load_query("settlement_store.postgres", "fetch_batches")
_FETCH_PLANNED_TOTALS = load_query("settlement_store.postgres", "fetch_planned_totals")
_FETCH_PROGRESS = load_query("settlement_store.postgres", "fetch_progress")
_FETCH_REASON_COUNTS = load_query("settlement_store.postgres", "fetch_reason_counts")
_KEEP_REPORT = load_query("settlement_store.postgres", "keep_report")
_SET_BATCH_FINAL = load_query("settlement_store.postgres", "set_batch_final")
_SET_BATCH_RUNNING = load_query("settlement_store.postgres", "set_batch_running")
_FETCH_UNCLOSED_BATCHES = load_query("settlement_store.postgres", "fetch_unclosed_batches")
_FETCH_BACKLOG_ORDER_COUNT = load_query("settlement_store.postgres", "fetch_backlog_order_count")


class PostgresBatches:
    """`Batches` on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def set_running(self, batch_id: str) -> BatchPlan:
        async with self._database.transaction() as connection:
            locked = await lock_batch(connection, batch_id)
            if locked["state"] == BatchState.OPEN:
                raise BatchNotOpenError(f"Batch {batch_id} cannot start: it is still open. Freeze it first.")
            await connection.execute(_SET_BATCH_RUNNING, locked["batch_no"])
            # In the same transaction: a failed read outside it would raise UnavailableError although the state changed.
            batch = batch_of(await fetch_batch_row(connection, batch_id))
            progress = await _fetch_progress(connection, batch_id)
            planned = await _fetch_planned_totals(connection, batch_id)
            control = await fetch_control_on(connection, batch_id)
        return BatchPlan(
            state=batch.state,
            chunk_count=progress.chunk_count,
            chunk_size=batch.chunk_size,
            window=batch.window,
            business_date=batch.business_date,
            planned=planned,
            control=control,
        )

    async def close_batch(self, report: BatchReport) -> Batch:
        check_closing_report(report)
        batch_id = report.batch_id
        async with self._database.transaction() as connection:
            batch_no = await connection.fetchval(_SET_BATCH_FINAL, batch_id, report.balanced)
            batch = batch_of(await fetch_batch_row(connection, batch_id))
            if batch_no is not None:
                report = report.model_copy(update={"state": batch.state, "closed_at": batch.closed_at})
                await connection.execute(_KEEP_REPORT, batch_no, report_json_of(report))
        if batch.state == BatchState.PAUSED:
            raise batch_paused(batch_id)
        if batch.state not in FINAL_STATES:
            raise InvariantViolationError(
                f"Could not close batch {batch_id}, which is {batch.state}: it is not running, or one of its chunks is "
                "not closed. Nothing was written."
            )
        return batch

    async def fetch_batch(self, batch_id: str) -> Batch:
        async with self._database.reading() as connection:
            return batch_of(await fetch_batch_row(connection, batch_id))

    async def fetch_batches(self, batch_count_max: int) -> list[Batch]:
        async with self._database.reading() as connection:
            return [batch_of(row) for row in await connection.fetch(_FETCH_BATCHES, batch_count_max)]

    async def fetch_unclosed_batches(self) -> list[UnclosedBatch]:
        async with self._database.reading() as connection:
            rows = await connection.fetch(_FETCH_UNCLOSED_BATCHES, limits.UNCLOSED_BATCH_COUNT_MAX)
            return [UnclosedBatch(batch_of(row), row["age_s"], row["action_no"]) for row in rows]

    async def fetch_backlog_order_count(self, active_within_s: float) -> int:
        async with self._database.reading() as connection:
            return int(await connection.fetchval(_FETCH_BACKLOG_ORDER_COUNT, timedelta(seconds=active_within_s)))

    async def fetch_planned_totals(self, batch_id: str) -> ControlTotals:
        async with self._database.reading() as connection:
            return await _fetch_planned_totals(connection, batch_id)

    async def fetch_reason_counts(self, batch_id: str) -> dict[str, int]:
        async with self._database.reading() as connection:
            rows = await connection.fetch(_FETCH_REASON_COUNTS, await fetch_batch_no(connection, batch_id))
            return {row["reason_code"]: row["item_count"] for row in rows}

    async def fetch_progress(self, batch_id: str) -> BatchProgress:
        async with self._database.reading() as connection:
            return await _fetch_progress(connection, batch_id)


async def _fetch_planned_totals(connection: Connection, batch_id: str) -> ControlTotals:
    rows = await connection.fetch(_FETCH_PLANNED_TOTALS, await fetch_batch_no(connection, batch_id))
    return totals_of(tuple(row) for row in rows)


async def _fetch_progress(connection: Connection, batch_id: str) -> BatchProgress:
    row = await connection.fetchrow(_FETCH_PROGRESS, batch_id)
    if row is None:
        raise batch_not_found(batch_id)
    return BatchProgress.model_validate(dict(row))
