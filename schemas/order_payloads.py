"""An order's payload: the account to credit, the amount and the currency.

Rows of which a chunk has thousands have these three among their columns (decision 0026). `domain.order_payloads`
reads them as one value.
"""

from typing import NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict


class Payload(NamedTuple):
    """A payload, which must not differ between an order's record, item and credit. The amount is in minor units."""

    account_id: str
    amount_minor: int
    currency: str


class HasPayload(Protocol):
    """A row or a model with a payload among its fields."""

    @property
    def account_id(self) -> str:
        """The account to credit."""

    @property
    def amount_minor(self) -> int:
        """The amount, in minor units of the currency."""

    @property
    def currency(self) -> str:
        """The currency of the amount: ISO 4217, or PTS for points."""


class PayloadModel(BaseModel):
    """A model for display, with a payload among its fields."""

    model_config = ConfigDict(frozen=True)

    account_id: str
    amount_minor: int
    currency: str
