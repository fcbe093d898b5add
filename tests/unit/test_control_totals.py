"""Control totals count and sum per currency, and keep no currency with zero totals."""

from domain.control_totals import outcome_totals_of, sum_outcome_totals, sum_totals, totals_of
from schemas.wire.totals import ControlTotals, OutcomeTotals

USD_AND_EUR = ControlTotals(
    order_count=4, order_count_by_currency={"EUR": 1, "USD": 3}, amount_minor={"EUR": 5, "USD": 37}
)


def test_rows_add_up_per_currency() -> None:
    assert totals_of([("USD", 2, 30), ("EUR", 1, 5), ("USD", 1, 7)]) == USD_AND_EUR


def test_a_currency_without_an_order_is_left_out_and_one_without_an_amount_stays() -> None:
    assert totals_of([("USD", 0, 0), ("EUR", 2, 0)]) == ControlTotals(
        order_count=2, order_count_by_currency={"EUR": 2}, amount_minor={"EUR": 0}
    )


def test_nothing_adds_up_to_nothing() -> None:
    assert totals_of([]) == sum_totals([]) == ControlTotals()
    assert outcome_totals_of([]) == sum_outcome_totals([]) == OutcomeTotals()


def test_amounts_beyond_64_bits_stay_exact() -> None:
    assert totals_of([("JPY", 1, 2**63), ("JPY", 1, 1)]).amount_minor == {"JPY": 2**63 + 1}


def test_every_outcome_has_its_own_totals() -> None:
    rows = [("settled", "USD", 2, 30), ("held", "EUR", 1, 5), ("settled", "USD", 1, 7), ("settled", "EUR", 1, 5)]
    totals = outcome_totals_of(rows)
    assert totals.settled == USD_AND_EUR
    assert totals.held == totals_of([("EUR", 1, 5)])
    assert totals.rejected == totals.failed == ControlTotals()


def test_totals_by_outcome_add_up_outcome_by_outcome() -> None:
    one = outcome_totals_of([("settled", "USD", 2, 30), ("failed", "USD", 1, 1)])
    other = outcome_totals_of([("settled", "USD", 1, 7), ("rejected", "USD", 1, 1)])
    both = sum_outcome_totals([one, other])
    assert both.settled == totals_of([("USD", 3, 37)])
    assert both.failed == both.rejected == totals_of([("USD", 1, 1)])
