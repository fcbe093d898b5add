"""What the audit reads of the settlement store, and what it reports."""

from datetime import datetime
from typing import NamedTuple

from pydantic import AwareDatetime, BaseModel, ConfigDict

from schemas.item_outcomes import ItemOutcome
from schemas.wire.totals import ControlTotals


class LatestItem(NamedTuple):
    """An order's latest item, and when its batch was opened.

    If the outcome is `missing`, only the order id says something. `reason_code` is None unless the item is rejected,
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
    """How many offers became items, and how many were of claimed orders, over all batches."""

    item_count: int
    duplicate_count: int
    conflict_count: int


class Break(BaseModel):
    """Where the sources contradict each other or themselves: a kind, the id of what is wrong, and a sentence."""

    model_config = ConfigDict(frozen=True)

    kind: str
    id: str
    detail: str


class AuditReport(BaseModel):
    """The audit of everything: stored plans, items and ledger held together.

    Each order counts once, by its latest item: its outcome, or pending. `unconfirmed` are the credits of pending
    and held orders. `ok` means that there is no break; it does not depend on `pending`. `not_looked_at` says what could
    not be, in a phrase each; nothing, with a Fund Platform that offers a proof of its ledger.
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
