"""The port of the Order Center. This docstring and those of the methods are the contract.

Every method may be called twice, concurrently, and by a process that was presumed dead.

Besides the errors that it names, every method may raise the following errors of `domain.errors`. An adapter translates
its driver's errors into them:

- `DataError`: the Order Center cannot accept these data, or cannot read a record, for instance because an amount is not
  a number or a time is not valid. The message names the records if they are known. Nothing was changed. The call fails
  again until somebody repairs the records. To find the bad ones, read fewer orders in a call.
- `UnavailableError`: the Order Center is unreachable, or refused the call for now. Nothing was changed. Every failed
  read that is not a data error raises this.
- `UnansweredError`: `load_records` or `acknowledge` was cut off. The change may have been made. Call the method again.

A `ValueError` that a method names reports a wrong call. Any other exception is a bug. Callers treat it as unanswered,
never as a data error.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from domain import limits
from schemas.order_life import CurrentRecord
from schemas.orders import FetchedRecord, OrderRecord, OverdueCursor, OverdueSlice, RecordVersion


class OrderCenter(Protocol):
    """Orders, and which of them are overdue and unacknowledged."""

    async def load_records(self, records: Sequence[OrderRecord]) -> None:
        """Store records, replacing existing ones, in one transaction. Idempotent.

        A new or changed record gets a new version and is offered (again) once it is overdue. A record that equals the
        stored one changes nothing.

        Args:
            records: at most `limits.LOAD_ROW_COUNT`, each order once.

        Raises:
            ValueError: there are too many, or an order is given twice.
        """

    async def fetch_overdue_slice(
        self, cutoff_at: datetime, after: OverdueCursor | None, order_count_max: int
    ) -> OverdueSlice:
        """Read the next unacknowledged orders with `after_sale_ends_at < cutoff_at`, of any status.

        Slices are ordered by (`after_sale_ends_at`, `order_id`); orders within a slice are in any order. One indexed
        read for each slice. `amount_minor` is paid less refunded and may be zero or less.

        Args:
            cutoff_at: aware.
            after: the cursor of the previous slice; None for the first slice.
            order_count_max: the slice's bound.
        """

    async def acknowledge(self, versions: Sequence[RecordVersion]) -> None:
        """Stop offering these versions of orders. A record changed since is still offered. Idempotent."""

    async def fetch_records(self, order_ids: Sequence[str]) -> Sequence[FetchedRecord]:
        """Read the records of these orders, in any order, by one indexed read. Unknown ids are left out."""

    async def fetch_order(self, order_id: str) -> CurrentRecord | None:
        """Read one order's record and whether it is unacknowledged, in one snapshot. None for an unknown order."""


def check_records(records: Sequence[OrderRecord]) -> None:
    """Refuse records that `load_records` does not accept; every adapter calls this first.

    Raises:
        ValueError: see `OrderCenter.load_records`.
    """
    if len(records) > limits.LOAD_ROW_COUNT:
        raise ValueError(f"Could not load {len(records)} records in one call; the limit is {limits.LOAD_ROW_COUNT}.")
    if len({record.order_id for record in records}) < len(records):
        raise ValueError("An order was given twice among the records to load. Give only its last record.")
