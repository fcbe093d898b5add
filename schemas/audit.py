"""The audit: rows that it reads from the settlement store, and its report."""

from datetime import datetime
from typing import NamedTuple

from pydantic import AwareDatetime, BaseModel, ConfigDict

from schemas.item_outcomes import ItemOutcome
from schemas.wire.totals import ControlTotals


class LatestItem(NamedTuple):
    """An order's latest item, and when its batch was opened.

    If the outcome is `missing`, only `order_id` is meaningful. `reason_code` is None unless the item is rejected,
    failed or held.
    """

    order_id: str
    batch_id: str
    opened_at: datetime
    outcome: ItemOutcome
    reason_code: str | None
    account_id: str
    amount_minor: int
    currency: str


class OfferCounts(NamedTuple):
    """The counts, over all batches, of offers that became items and of offers of orders that were already claimed."""

    item_count: int
    duplicate_count: int
    conflict_count: int


class Break(BaseModel):
    """A contradiction within or between the systems: its kind, the id of the wrong object, and a sentence."""

    model_config = ConfigDict(frozen=True)

    kind: str
    id: str
    detail: str


class AuditReport(BaseModel):
    """The audit of all stored plans, items and ledger entries, checked against each other.

    Each order counts once, by its latest item: its outcome, or pending. `unconfirmed` are the credits of pending
    and held orders. `ok` means that there is no break, whatever `pending` is. `not_looked_at` has a phrase for each
    thing that the audit could not check. It is empty if the Fund Platform offers a proof of its ledger.
    """

    model_config = ConfigDict(frozen=True)

    ok: bool
    orders: int
    settled: ControlTotals
    rejected: ControlTotals
    failed: ControlTotals
    held: ControlTotals
    pending: ControlTotals
    unconfirmed: ControlTotals
    ledger: ControlTotals
    duplicates: int
    conflicts: int
    duplicate_credits: int
    unbalanced_entries: int
    balance_breaks: int
    oldest_pending_at: AwareDatetime | None
    breaks: list[Break]
    not_looked_at: list[str]
