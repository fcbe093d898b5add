"""The life of one order: what each of the three systems holds of it, and what that comes to."""

from datetime import date

from pydantic import AwareDatetime, BaseModel, ConfigDict

from schemas.audit import Break
from schemas.item_outcomes import ItemOutcome
from schemas.ledger import CreditResultCode
from schemas.next_steps import NextStep
from schemas.order_payloads import PayloadModel
from schemas.orders import OrderStatus
from schemas.wire.batches import BatchSource, BatchState
from schemas.wire.reasons import ReasonCode


class CurrentRecord(PayloadModel):
    """An order's record as the Order Center has it now; `amount_minor` is what is due: paid less refunded.

    `is_offered`: not acknowledged, so that the next run takes it if its after-sale period is over by the cutoff.
    """

    order_id: str
    paid_minor: int
    refunded_minor: int
    status: OrderStatus
    completed_at: AwareDatetime
    after_sale_ends_at: AwareDatetime
    version: int
    is_offered: bool


class OrderItem(PayloadModel):
    """One of an order's items: its place, its frozen payload, and what became of it.

    `chunk_index` is None while the batch is open. `reason_code`, `detail` and
    `stored_at` belong to the outcomes rejected, failed and held; a settled item has its credit's time.
    """

    batch_id: str
    batch_source: BatchSource
    batch_state: BatchState
    business_date: date | None
    item_no: int
    chunk_index: int | None
    claim_no: int
    inherits_unknown: bool
    outcome: ItemOutcome
    reason_code: ReasonCode | None
    detail: str | None
    stored_at: AwareDatetime | None


class ConflictingOffer(PayloadModel):
    """A payload that was offered to a batch while an item with another one was the order's live one."""

    batch_id: str
    offered_at: AwareDatetime


class CreditAnswer(PayloadModel):
    """The Fund Platform's stored answer, and the request that it answered."""

    result_code: CreditResultCode
    claim_no: int


class CreditPosting(PayloadModel):
    """A credit posting, and its journal entry: `reference` and `posted_at` are None if the entry is missing.

    Of a Fund Platform that offers no proof of its ledger no entry is known: `entry_id` is None.
    """

    entry_id: int | None
    reference: str | None
    posted_at: AwareDatetime | None


class CreditLife(BaseModel):
    """What the Fund Platform holds under one idempotency key; one posting at most unless the ledger is broken."""

    model_config = ConfigDict(frozen=True)

    answer: CreditAnswer | None
    postings: list[CreditPosting]


class OrderLife(BaseModel):
    """All that is known of an order, and the answer to "why was I not paid?".

    `items` are oldest first. `breaks` are those that the audit would name; there are none unless something is wrong.
    `order_error` says why the Order Center's record cannot be read; then `order` is None. `credit_not_looked_at` says,
    in a phrase, what the Fund Platform does not show of the credit.
    """

    model_config = ConfigDict(frozen=True)

    order_id: str
    answer: str
    advice: str | None
    next_step: NextStep | None
    breaks: list[Break]
    order: CurrentRecord | None
    order_error: str | None = None
    items: list[OrderItem]
    conflicts: list[ConflictingOffer]
    credit: CreditLife
    credit_not_looked_at: str | None = None
