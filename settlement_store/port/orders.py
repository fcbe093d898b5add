"""Reads of one order, a part of the settlement store's contract."""

from typing import Protocol

from schemas.order_life import ConflictingOffer, OrderItem


class Orders(Protocol):
    """One order's items and conflicting offers."""

    async def fetch_items_of_order(self, order_id: str) -> list[OrderItem]:
        """Read one order's items, oldest first, in one snapshot; the newest `limits.ORDER_LIFE_ROW_COUNT_MAX` of them.

        An item that the claim names but that does not exist is left out; `fetch_item_of_order` reports it.
        """

    async def fetch_conflicts_of_order(self, order_id: str) -> list[ConflictingOffer]:
        """Read the offers of one order that conflicted with its live item; of each batch, the first one only.

        They are ordered by the opening of their batches; the newest `limits.ORDER_LIFE_ROW_COUNT_MAX` of them.
        """
