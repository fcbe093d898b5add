"""Requests to the Fund Platform, and its answers."""

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from pydantic import AwareDatetime, BaseModel, ConfigDict


class CreditRequest(NamedTuple):
    """A credit to post: `amount_minor` of `currency` to `account_id`, at most once per key.

    `claim_no` is the order's claim number. Per key the Fund Platform keeps the answer to the highest one that it has
    seen, and creates nothing for a lower one.
    """

    idempotency_key: str
    claim_no: int
    account_id: str
    amount_minor: int
    currency: str


class CreditResultCode(StrEnum):
    """The Fund Platform's answer to a credit request."""

    CREATED = "created"
    EXISTS = "exists"
    EXISTS_WITH_DIFFERENT_PAYLOAD = "exists_with_different_payload"
    ACCOUNT_NOT_FOUND = "account_not_found"
    ACCOUNT_CLOSED = "account_closed"
    CURRENCY_MISMATCH = "currency_mismatch"
    WITHDRAWN = "withdrawn"
    SUPERSEDED = "superseded"


class AccountOpening(NamedTuple):
    """An account to open with a balance of zero."""

    account_id: str
    currency: str


class Account(BaseModel):
    """A customer's virtual account. Its balance is in minor units of its currency."""

    model_config = ConfigDict(frozen=True)

    account_id: str
    currency: str
    balance_minor: int
    closed_at: AwareDatetime | None


class LedgerCredit(NamedTuple):
    """An order's credit in the ledger's postings. `posting_count` is 1 unless the ledger is broken."""

    idempotency_key: str
    account_id: str
    currency: str
    amount_minor: int
    posting_count: int
    posted_at: datetime
