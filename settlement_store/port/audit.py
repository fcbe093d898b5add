"""The audit's part of the settlement store's contract: latest items, and checks of the store against itself."""

from typing import Protocol

from schemas.audit import Break, LatestItem, OfferCounts


class AuditReads(Protocol):
    """All orders by their latest items, and checks of the store against itself."""

    async def fetch_offer_counts(self) -> OfferCounts:
        """Add up the items, the duplicates and the conflicts of all batches."""

    async def fetch_latest_items(self, after_order_id: str, item_count_max: int) -> list[LatestItem]:
        """Read the next orders' latest items, ordered by order_id in code point order.

        One snapshot. The outcome is `missing` if the order's claim names no existing item, or an item of another order
        or with another claim number.
        """

    async def fetch_item_of_order(self, order_id: str) -> LatestItem | None:
        """Read one order's latest item as `fetch_latest_items` does; None for an order without a claim.

        The audit uses it to check an order a second time.
        """

    async def fetch_store_breaks(self, break_count_max: int) -> list[Break]:
        """Check the store against itself, reading all of it; return at most `break_count_max` breaks of each kind.

        Each kind is checked in one snapshot, in which every transaction of this port is complete or absent. A step in
        progress therefore never shows as a break. If there is no `planned_total_changed`, `chunk_gap` or
        `chunk_totals_differ`, planned = settled + rejected + failed + held + pending holds in every batch.

        Kinds, and what their ids name:

        - `planned_total_changed` (batch): the stored plan is not the sum of the batch's items.
        - `item_missing` (batch): the number of items is not the number appended, or they are not numbered from 0
          without a gap. `fetch_latest_items` reports a claim whose item is missing.
        - `claim_missing` (order): an item's order has no claim, or only one with a lower number.
        - `claim_no_reused` (order): two items of one order have the same claim number.
        - `claim_not_released` (order): the claim is held although the latest item is rejected or failed.
        - `claim_released_early` (order): the claim is released although the latest item is settled, held or pending.
        - `two_live_items` (order): an item is settled or pending although the claim has moved on to a later one.
        - `earlier_item_forgotten` (order): the claim has moved on from an item whose place is not recorded.
        - `chunk_gap` (chunk): a chunk is missing, has another range than its batch's chunk size gives, or exists
          although its batch is open or has no items at that index.
        - `chunk_totals_differ` (chunk): its stored control totals are not the sum of its items' outcomes.
        - `exception_without_item` (item): the item of an exception item does not exist.
        - `outcome_too_early` (order): an item has an outcome in a chunk without a stored validation, or has an outcome
          that only a closed chunk can have in a chunk that is not closed.
        - `reason_impossible` (order): a held item lacks a reason for holding, a failed item lacks the reason for
          failing, or another item has one of these reasons.
        - `unknown_forgotten` (order): the credit of an order's earlier item may exist, but the next item does not
          inherit the unknown, or was judged by a rule; or an item inherits the unknown although its earlier item's
          credit cannot exist.
        - `closed_with_pending` (batch): the batch is final and has a chunk that is not closed.
        - `kept_report_differs` (batch): the batch is closed, but its report is missing or differs from its plan and
          chunks.
        """
