"""Reads of one order on PostgreSQL: its items and its conflicting offers."""

from database.access import Database
from database.queries import load_query
from domain import limits
from schemas.order_life import ConflictingOffer, OrderItem

_FETCH_ITEMS_OF_ORDER = load_query("settlement_store.postgres", "fetch_items_of_order")
_FETCH_CONFLICTS_OF_ORDER = load_query("settlement_store.postgres", "fetch_conflicts_of_order")


class PostgresOrders:
    """`Orders` on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def fetch_items_of_order(self, order_id: str) -> list[OrderItem]:
        async with self._database.reading() as connection:
            rows = await connection.fetch(_FETCH_ITEMS_OF_ORDER, order_id, limits.ORDER_LIFE_ROW_COUNT_MAX)
            return [OrderItem(**row) for row in rows]

    async def fetch_conflicts_of_order(self, order_id: str) -> list[ConflictingOffer]:
        async with self._database.reading() as connection:
            rows = await connection.fetch(_FETCH_CONFLICTS_OF_ORDER, order_id, limits.ORDER_LIFE_ROW_COUNT_MAX)
            return [ConflictingOffer(**row) for row in rows]
