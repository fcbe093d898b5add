"""Reads of one order, in memory."""

from domain import limits
from schemas.batches import Batch
from schemas.items import Item
from schemas.order_life import ConflictingOffer, OrderItem
from tests.doubles.settlement_store.store_state import Contents, StoreState


class MemoryOrders:
    """`Orders` in memory."""

    def __init__(self, state: StoreState) -> None:
        self.state = state

    async def fetch_items_of_order(self, order_id: str) -> list[OrderItem]:
        items = [
            _item_of_order(self.state.batch_of(batch_id), contents, item)
            for batch_id, contents in self.state.contents.items()
            for item in contents.items
            if item.order_id == order_id
        ]
        return sorted(items, key=lambda item: item.claim_no)[-limits.ORDER_LIFE_ROW_COUNT_MAX :]

    async def fetch_conflicts_of_order(self, order_id: str) -> list[ConflictingOffer]:
        found = [self.state.conflicts.get((order_id, batch_id)) for batch_id in self.state.batches]
        return [conflict for conflict in found if conflict][-limits.ORDER_LIFE_ROW_COUNT_MAX :]


def _item_of_order(batch: Batch, contents: Contents, item: Item) -> OrderItem:
    exception = contents.exceptions.get(item.item_no)
    is_pruned = item.item_no < contents.pruned_item_count
    return OrderItem(
        batch_id=batch.batch_id,
        batch_source=batch.source,
        batch_state=batch.state,
        business_date=batch.business_date,
        item_no=item.item_no,
        chunk_index=item.item_no // contents.chunk_size if contents.chunks else None,
        claim_no=item.claim_no,
        inherits_unknown=item.inherits_unknown and not is_pruned,
        account_id=item.account_id,
        amount_minor=item.amount_minor,
        currency=item.currency,
        outcome=contents.outcome_of(item.item_no),
        reason_code=exception.reason_code if exception else None,
        detail=exception.detail if exception and not is_pruned else None,
        stored_at=None if is_pruned else contents.stored_at.get(item.item_no),
    )
