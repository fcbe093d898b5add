"""Reports of closed batches on PostgreSQL: kept reports, and what came since."""

from collections.abc import Sequence

from database.access import Database
from database.columns import texts_of
from database.pools import Row
from database.queries import load_query
from schemas.batches import KeptReport
from schemas.item_outcomes import ITEM_OUTCOME_BY_TEXT
from schemas.items import LaterItemGroup
from schemas.wire.reports import BatchReport, SinceClosing
from settlement_store.postgres.batch_rows import fetch_batch_no

_FETCH_KEPT_REPORTS = load_query("settlement_store.postgres", "fetch_kept_reports")
_FETCH_LATER_ITEM_GROUPS = load_query("settlement_store.postgres", "fetch_later_item_groups")
_FETCH_RERUN_IDS = load_query("settlement_store.postgres", "fetch_rerun_ids")


class PostgresReports:
    """`Reports` on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def fetch_kept_reports(self, batch_ids: Sequence[str]) -> dict[str, KeptReport]:
        async with self._database.reading() as connection:
            rows = await connection.fetch(_FETCH_KEPT_REPORTS, batch_ids)
            return {row["batch_id"]: _kept_report_of(row) for row in rows}

    async def fetch_later_item_groups(
        self, batch_id: str, after_item_no: int, item_count_max: int
    ) -> list[LaterItemGroup]:
        async with self._database.reading_by_index() as connection:
            batch_no = await fetch_batch_no(connection, batch_id)
            rows = await connection.fetch(_FETCH_LATER_ITEM_GROUPS, batch_no, after_item_no, item_count_max)
            return [
                LaterItemGroup._make(row)._replace(
                    outcome=ITEM_OUTCOME_BY_TEXT[row["outcome"]], order_ids=texts_of(row["order_ids"])
                )
                for row in rows
            ]

    async def fetch_rerun_ids(self, batch_id: str, batch_count_max: int) -> list[str]:
        async with self._database.reading() as connection:
            rows = await connection.fetch(_FETCH_RERUN_IDS, batch_id, batch_count_max)
            return [row["batch_id"] for row in rows]


def report_json_of(report: BatchReport) -> str:
    """Return a report as it is stored: as of the batch's closing."""
    return report.model_dump_json(exclude={"since_closing"})


def _kept_report_of(row: Row) -> KeptReport:
    since_closing = row["since_closing"] and SinceClosing.model_validate_json(row["since_closing"])
    return KeptReport(
        BatchReport.model_validate_json(row["report"]),
        since_closing.model_copy(update={"pruned_at": row["pruning_began_at"]}) if since_closing else None,
    )
