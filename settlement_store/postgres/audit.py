"""The audit's reads of the settlement store on PostgreSQL: latest items, and checks of the store against itself."""

from database.access import Database
from database.pools import Row
from database.queries import load_query
from schemas.audit import Break, LatestItem, OfferCounts
from schemas.item_outcomes import ITEM_OUTCOME_BY_TEXT

_FETCH_LATEST_ITEMS = load_query("settlement_store.postgres", "fetch_latest_items")
_FETCH_ITEM_OF_ORDER = load_query("settlement_store.postgres", "fetch_item_of_order")
_FETCH_OFFER_COUNTS = load_query("settlement_store.postgres", "fetch_offer_counts")

BREAK_KINDS = (
    "planned_total_changed",
    "item_missing",
    "claim_missing",
    "claim_no_reused",
    "claim_not_released",
    "claim_released_early",
    "two_live_items",
    "earlier_item_forgotten",
    "chunk_gap",
    "chunk_totals_differ",
    "exception_without_item",
    "outcome_too_early",
    "reason_impossible",
    "unknown_forgotten",
    "closed_with_pending",
    "kept_report_differs",
    "cutoff_after_freezing",
)
# One statement for each kind: under READ COMMITTED it sees one snapshot, in which every step is complete or absent.
_FETCH_BREAKS = tuple(load_query("settlement_store.postgres", f"break_{kind}") for kind in BREAK_KINDS)


class PostgresAuditReads:
    """`AuditReads` on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def fetch_offer_counts(self) -> OfferCounts:
        async with self._database.reading() as connection:
            row = await connection.fetchrow(_FETCH_OFFER_COUNTS)
            return OfferCounts(*row) if row else OfferCounts(0, 0, 0)

    async def fetch_latest_items(self, after_order_id: str, item_count_max: int) -> list[LatestItem]:
        async with self._database.reading() as connection:
            rows = await connection.fetch(_FETCH_LATEST_ITEMS, after_order_id, item_count_max)
            return [_latest_item_of(row) for row in rows]

    async def fetch_item_of_order(self, order_id: str) -> LatestItem | None:
        async with self._database.reading() as connection:
            row = await connection.fetchrow(_FETCH_ITEM_OF_ORDER, order_id)
            return _latest_item_of(row) if row else None

    async def fetch_store_breaks(self, break_count_max: int) -> list[Break]:
        async with self._database.reading() as connection:
            return [Break(**row) for query in _FETCH_BREAKS for row in await connection.fetch(query, break_count_max)]


def _latest_item_of(row: Row) -> LatestItem:
    order_id, batch_id, opened_at, outcome, *rest = row
    return LatestItem(order_id, batch_id, opened_at, ITEM_OUTCOME_BY_TEXT[outcome], *rest)
