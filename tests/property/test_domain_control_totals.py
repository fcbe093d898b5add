"""Control totals sum to the same in any order and any grouping."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from domain.control_totals import outcome_totals_of, sum_outcome_totals, sum_totals, totals_of
from domain.limits import ORDER_AMOUNT_MINOR_MAX
from schemas.wire.reasons import Outcome

CURRENCIES = st.sampled_from(sorted(ORDER_AMOUNT_MINOR_MAX))
ORDERS = st.tuples(CURRENCIES, st.just(1), st.integers(0, 2**62))
ITEMS = st.tuples(st.sampled_from(list(Outcome)), CURRENCIES, st.just(1), st.integers(0, 2**62))


@st.composite
def shuffled_groups(draw: st.DrawFn, rows: st.SearchStrategy[tuple[object, ...]]) -> tuple[Sequence, Sequence]:  # type: ignore[type-arg]
    """Return rows, and the same rows in another order and in groups, some of them empty."""
    listed = draw(st.lists(rows, max_size=30))
    shuffled = draw(st.permutations(listed))
    cuts = sorted(draw(st.lists(st.integers(0, len(listed)), max_size=5)))
    groups = [shuffled[start:end] for start, end in zip([0, *cuts], [*cuts, len(listed)], strict=True)]
    return listed, groups


@given(shuffled_groups(ORDERS))
def test_totals_of_groups_add_up_to_the_totals_of_all(drawn: tuple[Sequence, Sequence]) -> None:  # type: ignore[type-arg]
    rows, groups = drawn
    totals = totals_of(rows)
    assert sum_totals(totals_of(group) for group in groups) == totals
    assert totals.order_count == sum(totals.order_count_by_currency.values()) == len(rows)
    assert sum(totals.amount_minor.values()) == sum(amount_minor for _, _, amount_minor in rows)


@given(shuffled_groups(ITEMS))
def test_totals_by_outcome_add_up_in_any_grouping(drawn: tuple[Sequence, Sequence]) -> None:  # type: ignore[type-arg]
    rows, groups = drawn
    totals = outcome_totals_of(rows)
    assert sum_outcome_totals(outcome_totals_of(group) for group in groups) == totals
    for outcome in Outcome:
        mine = [row[1:] for row in rows if row[0] == outcome]
        assert getattr(totals, outcome) == totals_of(mine)
