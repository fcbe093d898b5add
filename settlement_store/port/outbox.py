"""The part of the settlement store that relays work on. This docstring and the methods' are the contract.

Each step that stores outcomes also stores an outbox row, in the same transaction: the range that it was about, and
when. The outcomes themselves are read from the items when they are delivered. A row is deleted once it is delivered.

Orders are in hash buckets (`domain.identifiers.result_bucket`), and relays lease buckets. An order's next outcome is
stored after the one before is committed, so its rows come in the order of its outcomes. Whoever delivers a bucket's
rows in `outbox_no` order, each to its end, keeps that order.
"""

from collections.abc import Collection
from typing import Protocol

from schemas.outbox import OutboxRow, StoredOutcome


class Outbox(Protocol):
    """Leases on buckets, and outcomes to deliver. Every method may be called twice, and by a relay thought dead."""

    async def lease_buckets(self, relay_id: str, lease_s: float) -> frozenset[int]:
        """Make a relay live for some time, and give it its fair share of the buckets. Atomic; call it often.

        A relay that was not renewed in time, by the store's own clock, is no longer live: others get its buckets. One
        that holds more than its share gives buckets up here, so a new relay gets them after the others have called.

        Args:
            relay_id: a name that no other relay has.
            lease_s: how long the leases hold from now on.

        Returns:
            The buckets that it holds now; no other live relay holds one of them.
        """

    async def release_buckets(self, relay_id: str) -> None:
        """Give back all that a relay holds; it is no longer live. Idempotent."""

    async def fetch_outbox_row(self, buckets: Collection[int]) -> OutboxRow | None:
        """Read the first row that is not delivered for all of these buckets; None if there is none."""

    async def fetch_outcomes(
        self, row: OutboxRow, buckets: Collection[int], item_start: int, item_end: int
    ) -> list[StoredOutcome]:
        """Read what a row's step stored for orders of these buckets, in item_no order, by one indexed read.

        At the exact time of another step's outcomes over the same range it gives these too, never fewer.

        Args:
            row: as `fetch_outbox_row` gave it.
            buckets: whose orders.
            item_start: the slice's first item; within the row's range.
            item_end: the item after its last one; at most `limits.RELAY_SLICE_ITEM_COUNT` on.
        """

    async def mark_delivered(self, relay_id: str, outbox_no: int, buckets: Collection[int]) -> frozenset[int]:
        """Mark a row delivered for those of the buckets that the relay still holds; delete it once all are. Atomic.

        Returns:
            The buckets that it was marked for. Of one that is missing the relay has lost its lease: the relay that
            has it now delivers the same events again.
        """
