"""What the audit reads, a part of the settlement store's contract: latest items, and the store against itself."""

from typing import Protocol

from schemas.audit import Break, LatestItem, OfferCounts


class AuditReads(Protocol):
    """All orders, each by its latest item, and the store against itself."""

    async def fetch_offer_counts(self) -> OfferCounts:
        """Add up the items, the duplicates and the conflicts of all batches."""

    async def fetch_latest_items(self, after_order_id: str, item_count_max: int) -> list[LatestItem]:
        """Read the next orders' latest items, ordered by order_id in code point order; for the audit.

        One snapshot. An order whose claim names an item that is not there, or another order's, or one with another
        claim number, comes with the outcome `missing`.
        """

    async def fetch_item_of_order(self, order_id: str) -> LatestItem | None:
        """Read one order's latest item, as above; None for an order without a claim. For the audit's second look."""

    async def fetch_store_breaks(self, break_count_max: int) -> list[Break]:
        """Check the store against itself, reading all of it; at most the bound of each kind.

        Each kind is looked for in one snapshot, in which every transaction of this port is whole: a break is never
        the shadow of a step under way. Together with `planned_total_changed`, `chunk_gap` and `chunk_totals_differ`
        being absent, planned = settled + rejected + failed + held + pending holds in every batch.

        Kinds, and what their ids name:

        - `planned_total_changed` (batch): the stored plan is not the sum of the batch's items.
        - `item_missing` (batch): the items are not as many as were appended, numbered from 0 without a gap. A claim
          whose item is missing is told by `fetch_latest_items`.
        - `claim_missing` (order): an item's order has no claim, or only one with a lower number.
        - `claim_no_reused` (order): two items of one order have the same claim number.
        - `claim_not_released` (order): held although the latest item is rejected or failed.
        - `claim_released_early` (order): released although the latest item is settled, held or pending.
        - `two_live_items` (order): an item is settled or pending although the claim has moved on to a later one.
        - `earlier_item_forgotten` (order): the claim has moved on from an item, and where that is is not kept.
        - `chunk_gap` (chunk): a chunk is missing, has another range than its batch's chunk size gives, or is there
          although its batch is open or does not reach so far.
        - `chunk_totals_differ` (chunk): its stored control totals are not the sum of its items' outcomes.
        - `exception_without_item` (item): an exception item without the item.
        - `outcome_too_early` (order): an outcome in a chunk without a stored validation, or one that only a closed
          chunk can have.
        - `reason_impossible` (order): a held item without a reason for holding, a failed one without that of failing,
          or another one with such a reason.
        - `unknown_forgotten` (order): the credit of an order's earlier item may exist, but the next item does not
          inherit that, or was judged by a rule; or an item inherits what no earlier item left.
        - `closed_with_pending` (batch): the batch is final and has a chunk that is not closed.
        - `kept_report_differs` (batch): closed, but its report is not kept, or not that of its plan and chunks.
        """
