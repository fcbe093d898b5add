"""The Order Center in memory, for tests. What the methods guarantee stands in `order_center.port`.

What it does not hold of the contract:

- Every method runs to its end without awaiting, so none sees another's half, waits for a lock or meets a deadlock.
- It is never away, answers always, and takes whatever Python holds: no `UnavailableError`, `UnansweredError` or
  `DataError` comes from it.
- No read has an index, nor a bound on what it touches.
"""

from collections.abc import Sequence
from datetime import datetime
from itertools import count

from domain.order_rules import due_minor_of
from order_center.port import check_records
from schemas.order_life import CurrentRecord
from schemas.orders import (
    FetchedRecord,
    OrderRecord,
    OverdueCursor,
    OverdueOrder,
    OverdueSlice,
    RecordVersion,
)


class MemoryOrderCenter:
    """Orders in dictionaries."""

    def __init__(self) -> None:
        self._records: dict[str, OrderRecord] = {}
        self._versions: dict[str, int] = {}
        self._unacknowledged_order_ids: set[str] = set()
        self._new_versions = count(1)

    async def load_records(self, records: Sequence[OrderRecord]) -> None:
        """See `OrderCenter.load_records`."""
        check_records(records)
        for record in records:
            if self._records.get(record.order_id) != record:
                self._records[record.order_id] = record
                self._versions[record.order_id] = next(self._new_versions)
                self._unacknowledged_order_ids.add(record.order_id)

    async def fetch_overdue_slice(
        self, cutoff_at: datetime, after: OverdueCursor | None, order_count_max: int
    ) -> OverdueSlice:
        """See `OrderCenter.fetch_overdue_slice`."""
        overdue = sorted(
            (record.after_sale_ends_at, order_id)
            for order_id in self._unacknowledged_order_ids
            if (record := self._records[order_id]).after_sale_ends_at < cutoff_at
        )
        beyond = [OverdueCursor(*place) for place in overdue if after is None or place > after][:order_count_max]
        return OverdueSlice([self._offer(order_id) for _, order_id in beyond], beyond[-1] if beyond else None)

    async def acknowledge(self, versions: Sequence[RecordVersion]) -> None:
        """See `OrderCenter.acknowledge`."""
        for order_id, version in versions:
            if self._versions.get(order_id) == version:
                self._unacknowledged_order_ids.discard(order_id)

    async def fetch_records(self, order_ids: Sequence[str]) -> list[FetchedRecord]:
        """See `OrderCenter.fetch_records`."""
        return [self._transaction_of(order_id) for order_id in order_ids if order_id in self._records]

    async def fetch_order(self, order_id: str) -> CurrentRecord | None:
        """See `OrderCenter.fetch_order`."""
        record = self._records.get(order_id)
        if record is None:
            return None
        return CurrentRecord(
            **record._asdict(),
            amount_minor=due_minor_of(record.paid_minor, record.refunded_minor),
            version=self._versions[order_id],
            is_offered=order_id in self._unacknowledged_order_ids,
        )

    def _offer(self, order_id: str) -> OverdueOrder:
        record = self._records[order_id]
        return OverdueOrder(
            order_id=order_id,
            account_id=record.account_id,
            amount_minor=due_minor_of(record.paid_minor, record.refunded_minor),
            currency=record.currency,
            version=self._versions[order_id],
        )

    def _transaction_of(self, order_id: str) -> FetchedRecord:
        fields = self._records[order_id]._asdict()
        del fields["completed_at"]
        return FetchedRecord(**fields, version=self._versions[order_id])
