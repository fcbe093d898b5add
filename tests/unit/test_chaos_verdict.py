"""The verdict of `make chaos` finds everything that can be wrong after a round."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from domain.identifiers import credit_key
from schemas.wire.events import SettlementResult
from schemas.wire.reasons import Outcome
from tests.chaos.announced_orders import Credit, Orders, plan_orders
from tests.chaos.verdict import Found, Life, Verdict, judge

ORDER_COUNT = 100
ORDERS = plan_orders(1, ORDER_COUNT)
SETTLED = next(record for record, reason in ORDERS.sample if not reason)
KEY = credit_key(SETTLED.order_id)


def told_of(order_id: str, life: Life) -> SettlementResult:
    return SettlementResult(
        event_id=f"{order_id}-{life.claim_no}",
        order_id=order_id,
        account_id="A1",
        batch_id="B1",
        amount_minor=1,
        currency="USD",
        outcome=Outcome(life.outcome),
        reason_code=life.reason_code,
        outcome_no=life.claim_no,
        stored_at=datetime(2026, 11, 25, tzinfo=UTC),
    )


def all_well(orders: Orders) -> Found:
    lives = {order_id: Life(*outcome, claim_no=2) for order_id, outcome in orders.outcomes.items()}
    return Found(
        batches={"B1": "closed", "B2": "closed"},
        lives=lives,
        credits=list(orders.credits.items()),
        unbalanced=[],
        balances=orders.balances,
        told={order_id: told_of(order_id, life) for order_id, life in lives.items()},
        dead_letters=set(orders.malformed),
        audit_exit_code=0,
        audit={"ok": True, "orders": ORDER_COUNT, "pending": {"order_count": 0}, "breaks": []},
    )


def without(found: dict[str, Any], key: str) -> dict[str, Any]:
    return {each: value for each, value in found.items() if each != key}


def test_a_good_round_has_no_problem() -> None:
    assert judge(ORDERS, all_well(ORDERS)) == Verdict(0, 0, 0, [])


@pytest.mark.parametrize(
    ("counted", "break_it", "problem"),
    [
        ("lost", lambda found: {"lives": without(found.lives, SETTLED.order_id)}, "in no batch"),
        ("lost", lambda found: {"told": without(found.told, SETTLED.order_id)}, "no published outcome"),
        ("double_credits", lambda found: {"credits": [*found.credits, found.credits[0]]}, "more than once"),
        ("unbalanced", lambda _: {"unbalanced": [7]}, "do not balance: 7"),
        ("unbalanced", lambda found: {"batches": found.batches | {"B2": "out_of_balance"}}, "out of balance: B2"),
        ("unbalanced", lambda found: {"balances": found.balances | {SETTLED.account_id: 1}}, SETTLED.account_id),
        ("", lambda found: {"batches": found.batches | {"B2": "running"}}, "no final state: B2"),
        (
            "",
            lambda found: {
                "lives": found.lives | {SETTLED.order_id: Life("held", "OUTCOME_UNKNOWN", 2)},
                "told": found.told | {SETTLED.order_id: told_of(SETTLED.order_id, Life("held", "OUTCOME_UNKNOWN", 2))},
            },
            "unexpected outcome",
        ),
        (
            "",
            lambda found: {
                "told": found.told | {SETTLED.order_id: told_of(SETTLED.order_id, Life("settled", None, 1))}
            },
            "published outcome differs",
        ),
        ("", lambda found: {"credits": [each for each in found.credits if each[0] != KEY]}, "unexpected credit"),
        ("", lambda found: {"credits": [*found.credits, ("credit:more", Credit("A1", 1, "USD"))]}, "unexpected credit"),
        ("", lambda found: {"dead_letters": found.dead_letters - {b'{"malformed": 0}'}}, "without a dead letter"),
        ("", lambda _: {"audit_exit_code": 1}, "exit code 1"),
        ("", lambda found: {"audit": found.audit | {"orders": ORDER_COUNT - 1}}, "99 of 100 orders"),
        ("", lambda found: {"audit": found.audit | {"pending": {"order_count": 3}}}, "3 pending"),
    ],
)
def test_whatever_is_wrong_is_counted_and_said(
    counted: str, break_it: Callable[[Found], dict[str, Any]], problem: str
) -> None:
    found = all_well(ORDERS)
    verdict = judge(ORDERS, found._replace(**break_it(found)))
    assert problem in " ".join(verdict.problems)
    counts = {name: getattr(verdict, name) for name in ("lost", "double_credits", "unbalanced")}
    assert {name: count for name, count in counts.items() if count} == ({counted: 1} if counted else {})
