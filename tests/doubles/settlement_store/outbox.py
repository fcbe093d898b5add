"""The outbox in memory. What the methods guarantee stands in `settlement_store.port.outbox`."""

import time
from collections.abc import Collection
from datetime import datetime

from domain.identifiers import result_bucket
from domain.limits import RESULT_BUCKET_COUNT
from domain.relay_shares import plan_buckets
from schemas.batches import Batch, Chunk, ChunkState
from schemas.outbox import OutboxRow, StoredOutcome
from tests.doubles.settlement_store.state import Contents

_ALL_BUCKETS = frozenset(range(RESULT_BUCKET_COUNT))


class MemoryOutbox:
    """The part of the settlement store in memory that relays work on."""

    def __init__(self) -> None:
        self._batches: dict[str, Batch] = {}
        self._contents: dict[str, Contents] = {}
        self._outbox: dict[int, OutboxRow] = {}  # each with the buckets that are not delivered
        self._outbox_no_last = 0
        self._leases: dict[str, frozenset[int]] = {}
        self._live_until_s: dict[str, float] = {}

    async def lease_buckets(self, relay_id: str, lease_s: float) -> frozenset[int]:
        """See `Outbox.lease_buckets`."""
        self._live_until_s[relay_id] = time.monotonic() + lease_s
        self._leases.setdefault(relay_id, frozenset())
        for each in [each for each in self._leases if each != relay_id and not self._is_live(each)]:
            del self._leases[each]
        self._leases[relay_id] = plan_buckets(relay_id, self._leases)
        return self._leases[relay_id]

    async def release_buckets(self, relay_id: str) -> None:
        """See `Outbox.release_buckets`."""
        self._leases.pop(relay_id, None)

    async def fetch_outbox_row(self, buckets: Collection[int]) -> OutboxRow | None:
        """See `Outbox.fetch_outbox_row`."""
        rows = (row._replace(buckets=row.buckets & frozenset(buckets)) for row in self._outbox.values())
        return next((row for row in rows if row.buckets), None)

    async def fetch_outcomes(
        self, row: OutboxRow, buckets: Collection[int], item_start: int, item_end: int
    ) -> list[StoredOutcome]:
        """See `Outbox.fetch_outcomes`."""
        contents = self._contents[row.batch_id]
        return [
            StoredOutcome(
                *item[1:6],
                outcome=contents.outcome_of(item.item_no),
                reason_code=contents.exceptions[item.item_no].reason_code if stored_at else None,
            )
            for item in contents.items[max(item_start, contents.pruned_item_count) : item_end]
            if result_bucket(item.order_id) in buckets
            and ((stored_at := contents.stored_at.get(item.item_no)) == row.stored_at or _is_settled(row, stored_at))
        ]

    async def mark_delivered(self, relay_id: str, outbox_no: int, buckets: Collection[int]) -> frozenset[int]:
        """See `Outbox.mark_delivered`."""
        row = self._outbox.get(outbox_no)
        if row is None or not self._is_live(relay_id):
            return frozenset()
        marked = self._leases.get(relay_id, frozenset()) & frozenset(buckets)
        self._outbox[outbox_no] = row._replace(buckets=row.buckets - marked)
        if not self._outbox[outbox_no].buckets:
            del self._outbox[outbox_no]
        return marked

    def _store_outbox_row(self, batch_id: str, chunk: Chunk, state: ChunkState, stored_at: datetime) -> None:
        self._outbox_no_last += 1
        self._outbox[self._outbox_no_last] = OutboxRow(
            self._outbox_no_last, batch_id, chunk.item_start, chunk.item_end, state, stored_at, _ALL_BUCKETS
        )

    def _undelivered_count(self, batch_id: str) -> int:
        return sum(row.batch_id == batch_id for row in self._outbox.values())

    def _is_live(self, relay_id: str) -> bool:
        return self._live_until_s.get(relay_id, 0) > time.monotonic()


def _is_settled(row: OutboxRow, stored_at: datetime | None) -> bool:
    return row.step == ChunkState.CLOSED and stored_at is None
