"""The Fund Platform in memory finds each kind of break in its ledger."""

from collections.abc import Callable
from typing import Any

import pytest

from schemas.ledger import AccountOpening, CreditRequest
from tests.doubles.fund_platform import MemoryFundPlatform

OPENINGS = [AccountOpening("alice", "USD"), AccountOpening("bob", "USD")]
REQUEST = CreditRequest(idempotency_key="k", claim_no=1, account_id="alice", amount_minor=100, currency="USD")


def replace_answer(platform: MemoryFundPlatform, **changes: Any) -> None:
    stored = platform.state.answers["k"]
    platform.state.answers["k"] = stored._replace(request=stored.request._replace(**changes))


def replace_account(platform: MemoryFundPlatform, **changes: Any) -> None:
    platform.state.account_by_id["alice"] = platform.state.account_by_id["alice"].model_copy(update=changes)


def remove_postings(platform: MemoryFundPlatform) -> None:
    platform.state.postings.clear()
    replace_account(platform, balance_minor=0)


def pay_twice(platform: MemoryFundPlatform) -> None:
    platform.state.postings.extend(platform.state.postings[:2])
    replace_account(platform, balance_minor=200)


# tests/integration/test_ledger_breaks.py plants breaks in the one on PostgreSQL.
PLANTED: dict[str, tuple[Callable[[MemoryFundPlatform], object], set[tuple[str, str]]]] = {
    "a posting removed": (
        lambda platform: platform.state.postings.pop(0),
        {("unbalanced_entry", "1"), ("balance_off", "alice"), ("answer_without_posting", "k")},
    ),
    "a balance changed": (
        lambda platform: replace_account(platform, balance_minor=101),
        {("balance_off", "alice")},
    ),
    "an entry removed": (
        lambda platform: platform.state.entries.clear(),
        {("posting_without_entry", "k"), ("posting_without_entry", "1")},
    ),
    "all postings removed": (
        remove_postings,
        {("entry_without_posting", "1"), ("answer_without_posting", "k")},
    ),
    "an account removed": (
        lambda platform: platform.state.account_by_id.pop("alice"),
        {("posting_without_account", "k")},
    ),
    "an answer removed": (lambda platform: platform.state.answers.clear(), {("posting_without_answer", "k")}),
    "an answer's account changed": (
        lambda platform: replace_answer(platform, account_id="bob"),
        {("posting_differs_from_answer", "k")},
    ),
    "an answer's amount changed": (
        lambda platform: replace_answer(platform, amount_minor=1),
        {("posting_differs_from_answer", "k")},
    ),
    "a key paid twice": (pay_twice, {("duplicate_credit", "k")}),
}


@pytest.mark.parametrize("name", PLANTED)
async def test_the_one_in_memory_finds_a_planted_break_and_nothing_else(name: str) -> None:
    platform = MemoryFundPlatform()
    await platform.accounts.open_accounts(OPENINGS)
    await platform.credits.post_credits("a test", [REQUEST])
    plant, expected = PLANTED[name]
    plant(platform)
    assert {(found.kind, found.id) for found in await platform.proof.fetch_ledger_breaks(10)} == expected
