"""An action has the right effect on a batch, and a batch pauses itself at its thresholds."""

from typing import Any

import pytest

from domain import limits
from domain.batch_control import passed_threshold, plan_control, plan_own_pause
from domain.errors import ControlRefusedError
from schemas.wire.batches import BatchState
from schemas.wire.control import BatchControl, ControlAction, ControlRequest, FailureThresholds
from schemas.wire.totals import ControlTotals, OutcomeTotals

THRESHOLDS = FailureThresholds(
    rejected_percent_max=25, rejected_count_max=1_000, failed_percent_max=1, failed_count_max=100
)


def request_of(action: ControlAction, **changes: Any) -> ControlRequest:
    request = ControlRequest(batch_id="B1", action=action, requested_by="ann", reason="why")
    return request.model_copy(update=changes)


@pytest.mark.parametrize("window", [None, 0, -1, limits.WINDOW_MAX + 1])
def test_a_window_out_of_its_bounds_is_refused(window: int | None) -> None:
    with pytest.raises(ControlRefusedError, match=r"the window must be 1 to 200 chunks\."):
        plan_control(BatchState.RUNNING, BatchControl(), request_of(ControlAction.WINDOW, window=window))


@pytest.mark.parametrize(
    "changes",
    [
        {"requested_by": ""},
        {"requested_by": "a\x00b"},
        {"reason": "two\nlines"},
        {"reason": "\ud800"},
        {"reason": "x" * (limits.CONTROL_TEXT_LENGTH_MAX + 1)},
    ],
    ids=repr,
)
def test_text_that_postgresql_or_a_terminal_would_choke_on_is_refused(changes: dict[str, str]) -> None:
    with pytest.raises(ControlRefusedError, match=r"requested_by|reason"):
        plan_control(BatchState.RUNNING, BatchControl(), request_of(ControlAction.PAUSE, **changes))


@pytest.mark.parametrize(
    "said", ["a\x00b\nc\ud800", "x" * (limits.CONTROL_TEXT_LENGTH_MAX + 1)], ids=["not printable", "too long"]
)
def test_settles_own_pause_takes_any_reason(said: str) -> None:
    request = plan_own_pause("B1", said)
    control = plan_control(BatchState.RUNNING, BatchControl(), request)
    assert control.is_paused
    assert control.reason == request.reason
    assert len(request.reason or "") == min(len(said), limits.CONTROL_TEXT_LENGTH_MAX)


def totals_of(settled: int, **others: int) -> OutcomeTotals:
    counts = {"settled": settled, **others}
    return OutcomeTotals(**{outcome: ControlTotals(order_count=count) for outcome, count in counts.items()})


@pytest.mark.parametrize(
    "totals",
    [
        OutcomeTotals(),
        totals_of(0, rejected=1_000),  # all of them, but not over the count
        totals_of(3_003, rejected=1_001),  # over the count, and exactly 25 %
        totals_of(100_000, rejected=5_000),
        totals_of(0, failed=100),
        totals_of(9_999, failed=101),
        totals_of(0, held=1_000_000),
    ],
    ids=str,
)
def test_no_threshold_is_passed_unless_both_percent_and_count_are(totals: OutcomeTotals) -> None:
    assert passed_threshold(THRESHOLDS, totals) is None


@pytest.mark.parametrize(
    ("totals", "says"),
    [
        (
            totals_of(3_002, rejected=1_001),
            "1,001 of the 4,003 orders that have an outcome so far were rejected (25.0%)",
        ),
        (totals_of(9_998, failed=101), "101 of the 10,099 orders that have an outcome so far were failed (1.0%)"),
        (
            totals_of(0, rejected=2_000, failed=2_000),
            "2,000 of the 4,000 orders that have an outcome so far were failed",
        ),
    ],
    ids=["rejected", "failed", "both"],
)
def test_a_threshold_that_is_passed_is_told_with_its_figures_and_what_to_do(totals: OutcomeTotals, says: str) -> None:
    sentence = passed_threshold(THRESHOLDS, totals) or ""
    assert sentence.startswith(says)
    assert "Then resume or abort the batch." in sentence
    assert len(sentence) <= limits.CONTROL_TEXT_LENGTH_MAX
