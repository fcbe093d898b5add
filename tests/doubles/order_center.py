"""The Order Center in memory, for tests.

It does not fulfil these parts of the contract:

- Every method runs to its end without awaiting, so no method sees another's half-done work, waits for a lock or
  deadlocks.
- It is always reachable, always answers, and accepts every value that Python can hold. It raises no
  `UnavailableError`, `UnansweredError` or `DataError`.
- No read uses an index or has a bound on the rows that it reads.
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
        check_records(records)
        for record in records:
            if self._records.get(record.order_id) != record:
                self._records[record.order_id] = record
                self._versions[record.order_id] = next(self._new_versions)
                self._unacknowledged_order_ids.add(record.order_id)

    async def fetch_overdue_slice(
        self, cutoff_at: datetime, after: OverdueCursor | None, order_count_max: int
    ) -> OverdueSlice:
        overdue = sorted(
            (record.after_sale_ends_at, order_id)
            for order_id in self._unacknowledged_order_ids
            if (record := self._records[order_id]).after_sale_ends_at < cutoff_at
        )
        beyond = [OverdueCursor(*place) for place in overdue if after is None or place > after][:order_count_max]
        return OverdueSlice([self._offer(order_id) for _, order_id in beyond], beyond[-1] if beyond else None)

    async def acknowledge(self, versions: Sequence[RecordVersion]) -> None:
        for order_id, version in versions:
            if self._versions.get(order_id) == version:
                self._unacknowledged_order_ids.discard(order_id)

    async def fetch_records(self, order_ids: Sequence[str]) -> list[FetchedRecord]:
        return [self._transaction_of(order_id) for order_id in order_ids if order_id in self._records]

    async def fetch_order(self, order_id: str) -> CurrentRecord | None:
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
