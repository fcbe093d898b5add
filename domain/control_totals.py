"""Addition of control totals. It is associative, commutative and exact."""

from collections import Counter
from collections.abc import Iterable

from schemas.wire.reasons import Outcome
from schemas.wire.totals import ControlTotals, OutcomeTotals


def totals_of(rows: Iterable[tuple[str, int, int]]) -> ControlTotals:
    """Add up rows of (currency, order_count, amount_minor). Currencies with no order and no amount are left out."""
    counts: Counter[str] = Counter()
    amounts: Counter[str] = Counter()
    for currency, order_count, amount_minor in rows:
        counts[currency] += order_count
        amounts[currency] += amount_minor
    currencies = sorted(currency for currency in counts if counts[currency] or amounts[currency])
    return ControlTotals(
        order_count=sum(counts.values()),
        order_count_by_currency={currency: counts[currency] for currency in currencies},
        amount_minor={currency: amounts[currency] for currency in currencies},
    )


def sum_totals(parts: Iterable[ControlTotals]) -> ControlTotals:
    """Add up control totals, per currency."""
    return totals_of(
        (currency, order_count, part.amount_minor[currency])
        for part in parts
        for currency, order_count in part.order_count_by_currency.items()
    )


def outcome_totals_of(rows: Iterable[tuple[str, str, int, int]]) -> OutcomeTotals:
    """Add up rows of (outcome, currency, order_count, amount_minor)."""
    by_outcome: dict[str, list[tuple[str, int, int]]] = {}
    for outcome, currency, order_count, amount_minor in rows:
        by_outcome.setdefault(outcome, []).append((currency, order_count, amount_minor))
    return OutcomeTotals(**{outcome: totals_of(by_outcome.get(outcome, ())) for outcome in Outcome})


def sum_outcome_totals(parts: Iterable[OutcomeTotals]) -> OutcomeTotals:
    """Add up totals by outcome."""
    collected = list(parts)
    return OutcomeTotals(**{o: sum_totals(getattr(part, o) for part in collected) for o in Outcome})
