"""Control totals: count and sum per currency."""

from pydantic import BaseModel, ConfigDict, Field


class ControlTotals(BaseModel):
    """Count and sum per currency. Amounts are in minor units. Currencies without an order are left out."""

    model_config = ConfigDict(frozen=True)

    order_count: int = 0
    order_count_by_currency: dict[str, int] = Field(default_factory=dict)
    amount_minor: dict[str, int] = Field(default_factory=dict)


class OutcomeTotals(BaseModel):
    """Control totals by outcome, of a chunk or a batch."""

    model_config = ConfigDict(frozen=True)

    settled: ControlTotals = ControlTotals()
    rejected: ControlTotals = ControlTotals()
    failed: ControlTotals = ControlTotals()
    held: ControlTotals = ControlTotals()
