"""An order's payload: whom it credits, and how much.

Rows of which a chunk holds thousands have these three among their columns (decision 0026);
`domain.order_payloads` reads them as one value.
"""

from typing import NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict


class Payload(NamedTuple):
    """What must not differ between an order's record, its item and its credit; in minor units of the currency."""

    account_id: str
    amount_minor: int
    currency: str


class HasPayload(Protocol):
    """A row or a model that has a payload among its fields."""

    @property
    def account_id(self) -> str:
        """Who is credited."""

    @property
    def amount_minor(self) -> int:
        """How much, in minor units of the currency."""

    @property
    def currency(self) -> str:
        """Of the amount: ISO 4217, or PTS for points."""


class PayloadModel(BaseModel):
    """A model that is shown, with a payload among its fields."""

    model_config = ConfigDict(frozen=True)

    account_id: str
    amount_minor: int
    currency: str
