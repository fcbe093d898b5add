"""`make incident` reports a problem if Settle failed or if the design that failed did not."""

from typing import Any

import pytest

from bench.incident.comparison import find_problems, print_comparison
from bench.incident.morning import Morning

SETTLE = Morning(
    sent=5_000,
    rejected=0,
    lost=0,
    settled=5_000,
    paid_twice=0,
    process_count=3,
    rss_bytes_max=300 * 2**20,
    query_s_max=10.0,
    notices_sent=200,
    notices_handled=200,
    notice_delay_s_median=0.1,
    notice_delay_s_max=0.3,
    settled_s=15.0,
    problems=(),
)
FAILED = SETTLE._replace(rejected=800, lost=800, settled=4_200, notices_handled=150, settled_s=None)


def test_a_morning_in_which_only_the_other_design_failed_is_good() -> None:
    assert find_problems(FAILED, SETTLE) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"rejected": 1},
        {"lost": 1},
        {"paid_twice": 1},
        {"notices_handled": 199},
        {"settled_s": None},
        {"query_s_max": 0.4},
        {"problems": ("orders of Settle are pending: 1",)},
    ],
)
def test_a_morning_in_which_settle_fails_is_off(changes: dict[str, Any]) -> None:
    assert len(find_problems(FAILED, SETTLE._replace(**changes))) == 1


@pytest.mark.parametrize("changes", [{"rejected": 0}, {"query_s_max": 0.4}, {"problems": ("tasks broke: 1",)}])
def test_a_morning_that_shows_nothing_is_off(changes: dict[str, Any]) -> None:
    assert len(find_problems(FAILED._replace(**changes), SETTLE)) == 1


def test_orders_that_are_never_settled_and_notices_that_are_never_handled_are_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    none_handled = FAILED._replace(notices_handled=0, notice_delay_s_median=None, notice_delay_s_max=None)
    print_comparison(none_handled, SETTLE)
    told = capsys.readouterr().out
    assert "never" in told
    assert "800" in told
    assert "-" in told
