"""The life of one order: its data in each of the three systems, and the resulting answer."""

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
    """An order's current record in the Order Center. `amount_minor` is what is due: paid less refunded.

    If `is_offered`, the record is not acknowledged. The next run takes the order if its after-sale period ended before
    the cutoff.
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
    """One of an order's items: its place, its frozen payload, and its outcome.

    `chunk_index` is None while the batch is open. `reason_code`, `detail` and `stored_at` are those of a rejected,
    failed or held outcome. The time of a settled item is on its credit.
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
    """A payload that was offered to a batch while the order had a live item with another payload."""

    batch_id: str
    offered_at: AwareDatetime


class CreditAnswer(PayloadModel):
    """The Fund Platform's stored answer, with the payload and claim number of its request."""

    result_code: CreditResultCode
    claim_no: int


class CreditPosting(PayloadModel):
    """A credit posting and its journal entry. `reference` and `posted_at` are None if the entry is missing.

    `entry_id` is None if the Fund Platform offers no proof of its ledger and so does not show the entry.
    """

    entry_id: int | None
    reference: str | None
    posted_at: AwareDatetime | None


class CreditLife(BaseModel):
    """The Fund Platform's data under one idempotency key. There is at most one posting unless the ledger is broken."""

    model_config = ConfigDict(frozen=True)

    answer: CreditAnswer | None
    postings: list[CreditPosting]


class OrderLife(BaseModel):
    """All data on an order, and the answer to "why was I not paid?".

    `items` are oldest first. `breaks` are those that the audit would name. If the Order Center's record cannot be read,
    `order_error` says why and `order` is None. `credit_not_looked_at` is a phrase for the part of the credit that the
    Fund Platform does not show.
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
