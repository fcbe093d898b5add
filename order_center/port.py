"""What Settle needs of the Order Center. This docstring and those of the methods are the contract.

Every method may be called twice, at the same time, and by a process that was thought dead.

Every method may fail as follows, by types of `domain.errors`; an adapter tells its driver's errors by them:

- `DataError`: the Order Center cannot take these data, or a record cannot be read, for instance an amount that is no
  number or a time that is none. It says which, where it is known. It comes again until somebody repairs the records;
  nothing was changed. Reading fewer orders at a time finds the records at fault.
- `UnavailableError`: the Order Center could not be reached, or refused for now; certainly nothing was changed. All
  that fails in reading, and is not of the data, is this.
- `UnansweredError`: `load_records` or `acknowledge` was cut; what was asked may be done. Call again.

A `ValueError` that a method names tells of a wrong call. What else a call raises is a bug, and counts as unanswered:
it is never taken for an error of the data.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from domain import limits
from schemas.order_life import CurrentRecord
from schemas.orders import FetchedRecord, OrderRecord, OverdueCursor, OverdueSlice, RecordVersion


class OrderCenter(Protocol):
    """Orders, and which of them are overdue and not yet acknowledged."""

    async def load_records(self, records: Sequence[OrderRecord]) -> None:
        """Store records; an existing one is replaced, in one transaction.

        A new or really changed record gets a new version and is offered (again) once overdue. A record that
        is the same as the stored one changes nothing, so loading twice is harmless.

        Args:
            records: at most `limits.LOAD_ROW_COUNT`, each order once.

        Raises:
            ValueError: there are too many, or an order comes twice.
        """

    async def fetch_overdue_slice(
        self, cutoff_at: datetime, after: OverdueCursor | None, order_count_max: int
    ) -> OverdueSlice:
        """Read the next unacknowledged orders with `after_sale_ends_at < cutoff_at`, of any status.

        Slices follow each other in the order of (`after_sale_ends_at`, `order_id`), beginning after the cursor (None:
        from the start); within a slice the orders come in any order. One indexed read of a slice. `amount_minor` is
        paid less refunded and may be zero or less.
        """

    async def acknowledge(self, versions: Sequence[RecordVersion]) -> None:
        """Offer these no more; a record changed since keeps being offered. Idempotent."""

    async def fetch_records(self, order_ids: Sequence[str]) -> Sequence[FetchedRecord]:
        """Read the records of these orders, in any order, by one indexed read; unknown ids are left out."""

    async def fetch_order(self, order_id: str) -> CurrentRecord | None:
        """Read one order's record and whether it is unacknowledged, in one snapshot; None for an unknown order."""


def check_records(records: Sequence[OrderRecord]) -> None:
    """Refuse what `load_records` does not take; every adapter begins with this.

    Raises:
        ValueError: see `OrderCenter.load_records`.
    """
    if len(records) > limits.LOAD_ROW_COUNT:
        raise ValueError(f"{len(records)} records were to be loaded at once; at most {limits.LOAD_ROW_COUNT} can be.")
    if len({record.order_id for record in records}) < len(records):
        raise ValueError("An order comes twice among the records to load; give its last record only.")
