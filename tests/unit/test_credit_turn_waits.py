"""An activity waits for its turn to send credits, within bounds."""

import asyncio
import time
from collections.abc import Callable

import pytest

from domain import limits
from schemas.credit_turns import CreditTurn
from settling.turns import CreditTurns, TurnLaterError

NOW = CreditTurn(is_taken=True, wait_s=0)


class Buckets:
    """Gives these answers, one after another, and records what it was asked."""

    def __init__(self, *answers: CreditTurn) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, int, int | None]] = []
        self.promised: list[bool] = []
        self.on_asked: Callable[[], None] = lambda: None

    async def take_credits(
        self, batch_id: str, order_count: int, credits_per_s: int | None, *, is_promised: bool
    ) -> CreditTurn:
        self.asked.append((batch_id, order_count, credits_per_s))
        self.promised.append(is_promised)
        self.on_asked()
        return self.answers.pop(0)


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevent turns from being too late because the machine is busy."""
    monkeypatch.setattr(limits, "CREDIT_TURN_LATE_S_MAX", 1_200)


async def test_a_turn_that_was_taken_is_used_when_it_begins() -> None:
    buckets = Buckets(CreditTurn(is_taken=True, wait_s=0.05))
    before_s = time.monotonic()
    await CreditTurns(buckets, 7).take("B1", 3)
    assert time.monotonic() - before_s >= 0.05
    assert buckets.asked == [("B1", 3, 7)]


async def test_a_short_wait_is_waited_on_the_spot_and_the_promise_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CREDIT_TURN_WAIT_S_MAX", 1_200)
    buckets = Buckets(CreditTurn(is_taken=False, wait_s=0.01, is_promised=True), NOW)
    await CreditTurns(buckets, 1).take("B1", 1)
    assert buckets.promised == [False, True]


async def test_a_long_wait_is_left_to_the_workflow_which_comes_some_time_before_its_turn() -> None:
    buckets = Buckets(CreditTurn(is_taken=False, wait_s=100, is_promised=True))
    with pytest.raises(TurnLaterError) as later:
        await CreditTurns(buckets, 1).take("B1", 1)
    assert (later.value.wait_s, later.value.is_promised) == (100 - limits.CREDIT_TURN_LEAD_S, True)


async def test_a_workflow_that_was_promised_a_turn_says_so() -> None:
    buckets = Buckets(NOW)
    await CreditTurns(buckets, 1).take("B1", 1, is_promised=True)
    assert buckets.promised == [True]


async def test_waits_on_the_spot_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CREDIT_TURN_WAIT_S_MAX", 0.1)
    buckets = Buckets(*[CreditTurn(is_taken=False, wait_s=0.04, is_promised=True)] * 10)
    with pytest.raises(TurnLaterError) as later:
        await CreditTurns(buckets, 1).take("B1", 1)
    assert len(buckets.promised) <= 4
    assert later.value.wait_s > 0


async def test_a_turn_that_was_slept_through_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CREDIT_TURN_LATE_S_MAX", 0.02)
    buckets = Buckets(CreditTurn(is_taken=True, wait_s=0.01), NOW)
    taking = asyncio.create_task(CreditTurns(buckets, 1).take("B1", 1))
    await asyncio.sleep(0)
    time.sleep(0.05)  # noqa: ASYNC251 (the process is suspended)
    buckets.on_asked = lambda: monkeypatch.setattr(limits, "CREDIT_TURN_LATE_S_MAX", 1_200)  # from now on it is not
    await taking
    assert len(buckets.promised) == 2


async def test_no_orders_need_no_turn() -> None:
    await CreditTurns(Buckets(), 1).take("B1", 0)
