"""The outbox in memory."""

import time
from collections.abc import Collection
from datetime import datetime

from domain.identifiers import result_bucket
from domain.relay_shares import plan_buckets
from schemas.chunks import ChunkState
from schemas.outbox import OutboxRow, StoredOutcome
from schemas.wire.reasons import Outcome
from tests.doubles.settlement_store.store_state import StoreState


class MemoryOutbox:
    """`Outbox` in memory."""

    def __init__(self, state: StoreState) -> None:
        self.state = state

    async def lease_buckets(self, relay_id: str, lease_s: float) -> frozenset[int]:
        leases = self.state.leases
        self.state.live_until_s[relay_id] = time.monotonic() + lease_s
        leases.setdefault(relay_id, frozenset())
        for each in [each for each in leases if each != relay_id and not self._is_live(each)]:
            del leases[each]
        leases[relay_id] = plan_buckets(relay_id, leases)
        return leases[relay_id]

    async def release_buckets(self, relay_id: str) -> None:
        self.state.leases.pop(relay_id, None)

    async def fetch_outbox_row(self, buckets: Collection[int]) -> OutboxRow | None:
        rows = (row._replace(buckets=row.buckets & frozenset(buckets)) for row in self.state.outbox.values())
        return next((row for row in rows if row.buckets), None)

    async def fetch_outcomes(
        self, row: OutboxRow, buckets: Collection[int], item_start: int, item_end: int
    ) -> list[StoredOutcome]:
        contents = self.state.contents_of(row.batch_id)
        return [
            StoredOutcome(
                *item[1:6],
                outcome=Outcome(contents.outcome_of(item.item_no)),
                reason_code=contents.exceptions[item.item_no].reason_code if stored_at else None,
            )
            for item in contents.live_items(item_start, item_end)
            if result_bucket(item.order_id) in buckets
            and ((stored_at := contents.stored_at.get(item.item_no)) == row.stored_at or _is_settled(row, stored_at))
        ]

    async def mark_delivered(self, relay_id: str, outbox_no: int, buckets: Collection[int]) -> frozenset[int]:
        row = self.state.outbox.get(outbox_no)
        if row is None or not self._is_live(relay_id):
            return frozenset()
        marked = self.state.leases.get(relay_id, frozenset()) & frozenset(buckets)
        self.state.outbox[outbox_no] = row._replace(buckets=row.buckets - marked)
        if not self.state.outbox[outbox_no].buckets:
            del self.state.outbox[outbox_no]
        return marked

    def _is_live(self, relay_id: str) -> bool:
        return self.state.live_until_s.get(relay_id, 0) > time.monotonic()


def _is_settled(row: OutboxRow, stored_at: datetime | None) -> bool:
    return row.step == ChunkState.CLOSED and stored_at is None
