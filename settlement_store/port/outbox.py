"""The outbox that relays deliver from, a part of the settlement store's contract.

Each step that stores outcomes also stores an outbox row with its range of items and its time, in the same transaction.
The outcomes themselves are read from the items when they are delivered. A delivered row is deleted.

Orders are in hash buckets (`domain.identifiers.result_bucket`), and relays lease buckets. An order's next outcome is
stored after the previous one is committed, so its rows are in the order of its outcomes. A relay that delivers a
bucket's rows in `outbox_no` order, each one completely, keeps that order.
"""

from collections.abc import Collection
from typing import Protocol

from schemas.outbox import OutboxRow, StoredOutcome


class Outbox(Protocol):
    """Leases on buckets, and outcomes to deliver. Every method may be called twice, and by a relay presumed dead."""

    async def lease_buckets(self, relay_id: str, lease_s: float) -> frozenset[int]:
        """Make a relay live for `lease_s` seconds, and give it its fair share of the buckets. Atomic; call it often.

        A relay that was not renewed in time, by the store's own clock, is no longer live, and others get its buckets. A
        relay that holds more than its share gives up buckets in this call, so a new relay gets its share after the
        others have called.

        Args:
            relay_id: a name that no other relay has.
            lease_s: how long the leases are valid from now on, in seconds.

        Returns:
            The buckets that the relay holds now; no other live relay holds one of them.
        """

    async def release_buckets(self, relay_id: str) -> None:
        """Give back all buckets of a relay, which is no longer live afterwards. Idempotent."""

    async def fetch_outbox_row(self, buckets: Collection[int]) -> OutboxRow | None:
        """Read the first row that is undelivered for at least one of these buckets; None if there is none."""

    async def fetch_outcomes(
        self, row: OutboxRow, buckets: Collection[int], item_start: int, item_end: int
    ) -> list[StoredOutcome]:
        """Read the outcomes that a row's step stored for orders of these buckets, in item_no order.

        One indexed read. If another step stored outcomes over the same range at exactly the same time, they are
        returned too; none is ever left out.

        Args:
            row: as `fetch_outbox_row` returned it.
            buckets: the orders' buckets.
            item_start: the slice's first item, within the row's range.
            item_end: the item after the slice's last one; at most `limits.RELAY_SLICE_ITEM_COUNT` after `item_start`.
        """

    async def mark_delivered(self, relay_id: str, outbox_no: int, buckets: Collection[int]) -> frozenset[int]:
        """Mark a row delivered for those of the buckets that the relay still holds; delete it after the last. Atomic.

        Returns:
            The buckets that the row was marked for. If a bucket is missing, the relay has lost its lease, and the relay
            that holds it now delivers the same events again.
        """
