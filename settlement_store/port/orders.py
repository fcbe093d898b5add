"""What is read of one order, a part of the settlement store's contract."""

from typing import Protocol

from schemas.order_life import ConflictingOffer, OrderItem


class Orders(Protocol):
    """One order's items and conflicting offers."""

    async def fetch_items_of_order(self, order_id: str) -> list[OrderItem]:
        """Read one order's items, oldest first, in one snapshot; the newest `limits.ORDER_LIFE_ROW_COUNT_MAX` of them.

        An item that a claim names and that is not there is left out; `fetch_item_of_order` tells that.
        """

    async def fetch_conflicts_of_order(self, order_id: str) -> list[ConflictingOffer]:
        """Read what was offered for one order in conflict with its live item, at most one offer a batch: the first.

        In the order in which the batches were opened; the newest `limits.ORDER_LIFE_ROW_COUNT_MAX` of them.
        """
