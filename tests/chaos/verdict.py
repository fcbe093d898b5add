"""Read what became of a round's orders from every system, and compare it with the expected outcomes."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import psycopg

from schemas.wire.batches import FINAL_STATES, BatchState
from schemas.wire.events import SettlementResult
from tests.chaos.announced_orders import Credit, Orders
from tests.chaos.installation import Installation
from tests.support.intakes import fetch_dead_letters
from tests.support.results_topic import kept_by_reader, read_told

NAMED_MAX = 3

BATCHES = "SELECT batch_id, state FROM settlement.batches"
LIVES = """
SELECT order_id, outcome, reason_code, claim_no FROM settlement.item_outcomes
WHERE (order_id, claim_no) IN (SELECT order_id, claim_no FROM settlement.claims)
"""
CREDITS = """
SELECT idempotency_key, account_id, amount_minor, currency FROM fund_platform.postings WHERE idempotency_key IS NOT NULL
"""
UNBALANCED = """
SELECT entry_id FROM fund_platform.postings GROUP BY entry_id, currency HAVING sum(amount_minor) <> 0
"""
BALANCES = "SELECT account_id, balance_minor FROM fund_platform.accounts WHERE balance_minor <> 0"


class Life(NamedTuple):
    """An order's outcome, from its latest item."""

    outcome: str
    reason_code: str | None
    claim_no: int


class Found(NamedTuple):
    """The state of all systems at the end of a round."""

    batches: dict[str, str]
    lives: dict[str, Life]
    credits: list[tuple[str, Credit]]
    unbalanced: list[int]
    balances: dict[str, int]
    told: dict[str, SettlementResult]
    """The result that a reader keeps for each order, by order id."""
    dead_letters: set[bytes]
    audit_exit_code: int
    audit: dict[str, Any]


class Verdict(NamedTuple):
    """The verdict on a round. All counts are zero and `problems` is empty if it passed."""

    lost: int
    """Orders that are in no batch or without a published outcome."""
    double_credits: int
    unbalanced: int
    """Journal entries, accounts and batches."""
    problems: list[str]
    """A sentence for each problem."""


async def find(installation: Installation) -> Found:
    """Read the state at the end of a round, when Settle's processes have ended."""
    settings = installation.settings
    audit_exit_code, audit = await installation.run("audit", "--json")
    told = kept_by_reader(await read_told(settings))
    dead_letters = {letter.value for letter in await fetch_dead_letters(settings) if letter.value is not None}
    stored = await asyncio.to_thread(_read_databases, settings.database_url)
    return Found(*stored, told, dead_letters, audit_exit_code, json.loads(audit or "{}"))


def _read_databases(
    url: str,
) -> tuple[dict[str, str], dict[str, Life], list[tuple[str, Credit]], list[int], dict[str, int]]:
    with psycopg.connect(url) as connection:
        return (
            dict(connection.execute(BATCHES).fetchall()),
            {order_id: Life(*life) for order_id, *life in connection.execute(LIVES)},
            [(key, Credit(*credit)) for key, *credit in connection.execute(CREDITS)],
            [entry_id for (entry_id,) in connection.execute(UNBALANCED)],
            dict(connection.execute(BALANCES).fetchall()),
        )


def judge(orders: Orders, found: Found) -> Verdict:
    """Compare what was found with the orders' expected outcomes. Pure."""
    outcomes = orders.outcomes
    counts = Counter(key for key, _ in found.credits)
    lost = outcomes.keys() - found.lives.keys() | outcomes.keys() - found.told.keys()
    doubled = [key for key, count in counts.items() if count > 1]
    unbalanced_batches = [each for each, state in found.batches.items() if state == BatchState.OUT_OF_BALANCE]
    stuck = [each for each, state in found.batches.items() if state not in FINAL_STATES]
    balances = _differing(orders.balances, found.balances)
    told = {
        order_id: Life(event.outcome.value, event.reason_code, event.outcome_no)
        for order_id, event in found.told.items()
    }
    problems = [
        *_named("orders that are in no batch or have no published outcome", lost),
        *_named("batches in no final state", stuck),
        *_named("keys credited more than once", doubled),
        *_named("journal entries that do not balance", map(str, found.unbalanced)),
        *_named("batches out of balance", unbalanced_batches),
        *_named("accounts whose balance differs from their orders' sum", balances),
        *_named(
            "orders with an unexpected outcome",
            _differing(outcomes, {order_id: life[:2] for order_id, life in found.lives.items()}),
        ),
        *_named("keys with an unexpected credit", _differing(orders.credits, dict(found.credits))),
        *_named("orders whose published outcome differs from the stored one", _differing(found.lives, told)),
        *_named("malformed records without a dead letter, or the reverse", orders.malformed ^ found.dead_letters),
        *_audit_problems(found, len(outcomes)),
    ]
    unbalanced = len(found.unbalanced) + len(unbalanced_batches) + len(balances)
    return Verdict(len(lost), len(doubled), unbalanced, problems)


def _audit_problems(found: Found, order_count: int) -> list[str]:
    audit = found.audit
    pending = audit.get("pending", {}).get("order_count")
    if (found.audit_exit_code, audit.get("ok"), audit.get("orders"), pending) == (0, True, order_count, 0):
        return []
    breaks = [f"{each['kind']} {each['id']}: {each['detail']}" for each in audit.get("breaks", [])]
    return [
        f"the audit ended with exit code {found.audit_exit_code}: {audit.get('orders')} of {order_count} orders, "
        f"{pending} pending; {'; '.join(breaks[:NAMED_MAX])}"
    ]


def _differing(must: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Return the keys whose values differ between two mappings, with both values."""
    return [
        f"{key} (must be {must.get(key)}, is {found.get(key)})"
        for key in sorted(must.keys() | found.keys())
        if must.get(key) != found.get(key)
    ]


def _named(what: str, names: Iterable[Any]) -> list[str]:
    """Return a sentence that counts the names and lists some of them, or nothing if there are none."""
    listed = sorted(map(str, names))
    if not listed:
        return []
    more = ", …" if len(listed) > NAMED_MAX else ""
    return [f"{len(listed)} {what}: {', '.join(listed[:NAMED_MAX])}{more}"]
