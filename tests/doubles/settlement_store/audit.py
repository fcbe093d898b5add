"""The audit's reads, in memory."""

from schemas.audit import Break, LatestItem, OfferCounts
from tests.doubles.settlement_store.store_state import StoreState


class MemoryAuditReads:
    """`AuditReads` in memory. No item is ever missing."""

    def __init__(self, state: StoreState) -> None:
        self.state = state

    async def fetch_offer_counts(self) -> OfferCounts:
        batches = self.state.batches.values()
        return OfferCounts(
            sum(batch.item_count for batch in batches),
            sum(batch.duplicate_count for batch in batches),
            sum(batch.conflict_count for batch in batches),
        )

    async def fetch_latest_items(self, after_order_id: str, item_count_max: int) -> list[LatestItem]:
        order_ids = sorted(order_id for order_id in self.state.claims if order_id > after_order_id)
        return [self._latest_item(order_id) for order_id in order_ids[:item_count_max]]

    async def fetch_item_of_order(self, order_id: str) -> LatestItem | None:
        return self._latest_item(order_id) if order_id in self.state.claims else None

    async def fetch_store_breaks(self, break_count_max: int) -> list[Break]:  # noqa: ARG002 (the port's)
        """Return no breaks: everything is derived from the items, so nothing can contradict them."""
        return []

    def _latest_item(self, order_id: str) -> LatestItem:
        claim = self.state.claims[order_id]
        contents = self.state.contents_of(claim.batch_id)
        item = contents.items[claim.item_no]
        exception = contents.exceptions.get(claim.item_no)
        return LatestItem(
            order_id=order_id,
            batch_id=claim.batch_id,
            opened_at=self.state.batch_of(claim.batch_id).opened_at,
            outcome=contents.outcome_of(claim.item_no),
            reason_code=exception.reason_code if exception else None,
            account_id=item.account_id,
            amount_minor=item.amount_minor,
            currency=item.currency,
        )
