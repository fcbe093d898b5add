"""The contract of the Fund Platform's port, for the adapter in memory and the one on PostgreSQL."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from database.pools import Pool, open_pool
from domain import limits
from domain.errors import AccountNotFoundError, DataError, InvariantViolationError
from fund_platform.port import FundPlatform
from fund_platform.postgres import PostgresFundPlatform
from runtime.stack_state import StackState
from schemas.ledger import Account, AccountOpening, CreditRequest, CreditResultCode, LedgerCredit
from schemas.order_life import CreditAnswer, CreditLife, CreditPosting
from schemas.wire.totals import ControlTotals
from tests.contract.adapters import not_in_memory
from tests.doubles.fund_platform import MemoryFundPlatform
from tests.support.databases import lent_database
from tests.support.settlements import proof_of

OPENINGS = [AccountOpening("alice", "USD"), AccountOpening("bob", "USD"), AccountOpening("eve", "EUR")]
CREATED = CreditResultCode.CREATED
EXISTS = CreditResultCode.EXISTS
DIFFERENT = CreditResultCode.EXISTS_WITH_DIFFERENT_PAYLOAD
NOT_FOUND = CreditResultCode.ACCOUNT_NOT_FOUND
CLOSED = CreditResultCode.ACCOUNT_CLOSED
MISMATCH = CreditResultCode.CURRENCY_MISMATCH
WITHDRAWN = CreditResultCode.WITHDRAWN
SUPERSEDED = CreditResultCode.SUPERSEDED


@pytest.fixture
async def pool(stack: StackState) -> AsyncIterator[Pool]:
    with lent_database(stack.database_url, "template_fund_platform") as url:
        async with await open_pool(url, schema="fund_platform", application_name="tests") as pool:
            yield pool


@pytest.fixture
def empty_fund_platform(request: pytest.FixtureRequest, adapter: str) -> FundPlatform:
    if adapter == "memory":
        return MemoryFundPlatform()
    return PostgresFundPlatform(request.getfixturevalue("pool"))


@pytest.fixture
async def fund_platform(empty_fund_platform: FundPlatform) -> FundPlatform:
    await empty_fund_platform.accounts.open_accounts(OPENINGS)
    return empty_fund_platform


def request_of(key: str, **changes: Any) -> CreditRequest:
    request = CreditRequest(idempotency_key=key, claim_no=1, account_id="alice", amount_minor=100, currency="USD")
    return request._replace(**changes)


async def post(fund_platform: FundPlatform, *requests: CreditRequest) -> list[CreditResultCode]:
    answers = await fund_platform.credits.post_credits("a test", requests)
    assert list(answers) == [request.idempotency_key for request in requests]
    return list(answers.values())


async def withdraw(fund_platform: FundPlatform, *requests: CreditRequest) -> list[CreditResultCode]:
    answers = await fund_platform.credits.withdraw_credits("a test", requests)
    assert list(answers) == [request.idempotency_key for request in requests]
    return list(answers.values())


async def fetch_balances(fund_platform: FundPlatform) -> dict[str, int]:
    return {
        opening.account_id: (await fund_platform.accounts.fetch_account(opening.account_id)).balance_minor
        for opening in OPENINGS
    }


async def test_an_opened_account_is_open_and_empty(fund_platform: FundPlatform) -> None:
    expected = Account(account_id="eve", currency="EUR", balance_minor=0, closed_at=None)
    assert await fund_platform.accounts.fetch_account("eve") == expected


async def test_opening_an_account_again_changes_nothing_of_it(
    fund_platform: FundPlatform,
) -> None:
    await post(fund_platform, request_of("k"))
    closed = await fund_platform.accounts.close_account("alice")
    await fund_platform.accounts.open_accounts([AccountOpening("alice", "EUR"), AccountOpening("new", "JPY")])
    assert await fund_platform.accounts.fetch_account("alice") == closed
    assert (await fund_platform.accounts.fetch_account("new")).currency == "JPY"


async def test_an_account_that_comes_twice_in_one_call_is_opened_once(fund_platform: FundPlatform) -> None:
    await fund_platform.accounts.open_accounts([AccountOpening("new", "JPY"), AccountOpening("new", "JPY")])
    assert (await fund_platform.accounts.fetch_account("new")).balance_minor == 0


async def test_an_account_named_like_a_funding_account_cannot_be_opened(fund_platform: FundPlatform) -> None:
    with pytest.raises(ValueError, match="is for funding accounts"):
        await fund_platform.accounts.open_accounts(
            [AccountOpening("fine", "USD"), AccountOpening("funding:USD", "USD")]
        )
    with pytest.raises(AccountNotFoundError):
        await fund_platform.accounts.fetch_account("fine")
    assert await post(fund_platform, request_of("k", account_id="funding:USD")) == [NOT_FOUND]


async def test_an_unknown_account_is_an_error_that_names_it(fund_platform: FundPlatform) -> None:
    for ask in (
        fund_platform.accounts.fetch_account,
        fund_platform.accounts.close_account,
        fund_platform.accounts.reopen_account,
    ):
        with pytest.raises(AccountNotFoundError, match="nobody"):
            await ask("nobody")


async def test_closing_and_reopening_twice_is_as_once(fund_platform: FundPlatform) -> None:
    closed = await fund_platform.accounts.close_account("bob")
    assert closed.closed_at is not None
    assert abs(datetime.now(UTC) - closed.closed_at) < timedelta(minutes=1)
    assert await fund_platform.accounts.close_account("bob") == closed
    assert await fund_platform.accounts.fetch_account("bob") == closed
    for _ in range(2):
        assert (await fund_platform.accounts.reopen_account("bob")).closed_at is None
    assert (await fund_platform.accounts.fetch_account("bob")).closed_at is None


async def test_every_request_is_answered_by_what_its_account_says(fund_platform: FundPlatform) -> None:
    await fund_platform.accounts.close_account("bob")
    codes = await post(
        fund_platform,
        request_of("good"),
        request_of("closed", account_id="bob"),
        request_of("mismatch", account_id="eve"),
        request_of("unknown", account_id="nobody"),
        request_of("euro", account_id="eve", currency="EUR", amount_minor=7),
    )
    assert codes == [CREATED, CLOSED, MISMATCH, NOT_FOUND, CREATED]
    assert await fetch_balances(fund_platform) == {"alice": 100, "bob": 0, "eve": 7}


async def test_a_closed_account_is_refused_as_closed_even_in_another_currency(fund_platform: FundPlatform) -> None:
    await fund_platform.accounts.close_account("eve")
    assert await post(fund_platform, request_of("k", account_id="eve")) == [CLOSED]


async def test_many_credits_to_one_account_add_up(fund_platform: FundPlatform) -> None:
    requests = [request_of(f"k{n}", account_id=("alice", "bob")[n % 2], amount_minor=n + 1) for n in range(100)]
    assert await post(fund_platform, *requests) == [CREATED] * 100
    assert await fetch_balances(fund_platform) == {"alice": 2500, "bob": 2550, "eve": 0}
    assert await proof_of(fund_platform).fetch_ledger_breaks(10) == []


async def test_the_same_credit_again_exists_whatever_its_claim_number_and_the_account_is(
    fund_platform: FundPlatform,
) -> None:
    assert await post(fund_platform, request_of("k", claim_no=3)) == [CREATED]
    await fund_platform.accounts.close_account("alice")
    for claim_no in (2, 3, 4):
        assert await post(fund_platform, request_of("k", claim_no=claim_no)) == [EXISTS]
    assert (await fetch_balances(fund_platform))["alice"] == 100


@pytest.mark.parametrize(
    "change",
    [{"account_id": "bob"}, {"account_id": "nobody"}, {"amount_minor": 101}, {"currency": "EUR"}],
    ids=str,
)
async def test_a_credited_key_with_another_payload_is_a_conflict_and_credits_nothing(
    fund_platform: FundPlatform, change: dict[str, object]
) -> None:
    await post(fund_platform, request_of("k"))
    for claim_no in (1, 2):
        assert await post(fund_platform, request_of("k", claim_no=claim_no, **change)) == [DIFFERENT]
    assert await post(fund_platform, request_of("k")) == [EXISTS]
    assert await fetch_balances(fund_platform) == {"alice": 100, "bob": 0, "eve": 0}


async def test_a_refusal_stays_under_its_claim_number_though_the_account_is_reopened(
    fund_platform: FundPlatform,
) -> None:
    await fund_platform.accounts.close_account("alice")
    assert await post(fund_platform, request_of("k")) == [CLOSED]
    await fund_platform.accounts.reopen_account("alice")
    for _ in range(2):
        assert await post(fund_platform, request_of("k")) == [CLOSED]
    assert (await fetch_balances(fund_platform))["alice"] == 0


async def test_each_kind_of_refusal_is_repeated_under_its_claim_number(fund_platform: FundPlatform) -> None:
    refused = [request_of("unknown", account_id="late"), request_of("mismatch", account_id="eve")]
    assert await post(fund_platform, *refused) == [NOT_FOUND, MISMATCH]
    await fund_platform.accounts.open_accounts([AccountOpening("late", "USD")])
    assert await post(fund_platform, *refused) == [NOT_FOUND, MISMATCH]
    assert await post(fund_platform, *(r._replace(claim_no=2) for r in refused)) == [CREATED, MISMATCH]


async def test_a_lower_claim_number_than_a_refused_one_is_superseded_and_creates_nothing(
    fund_platform: FundPlatform,
) -> None:
    await fund_platform.accounts.close_account("alice")
    assert await post(fund_platform, request_of("k", claim_no=5)) == [CLOSED]
    await fund_platform.accounts.reopen_account("alice")
    assert await post(fund_platform, request_of("k", claim_no=4)) == [SUPERSEDED]
    assert await post(fund_platform, request_of("k", claim_no=5)) == [CLOSED]
    assert (await fetch_balances(fund_platform))["alice"] == 0


async def test_a_claim_number_above_a_refused_one_is_judged_anew_with_its_payload(
    fund_platform: FundPlatform,
) -> None:
    await fund_platform.accounts.close_account("alice")
    assert await post(fund_platform, request_of("k")) == [CLOSED]
    assert await post(fund_platform, request_of("k", claim_no=2, account_id="nobody")) == [NOT_FOUND]
    assert await post(fund_platform, request_of("k", claim_no=1)) == [SUPERSEDED]
    moved = request_of("k", claim_no=3, account_id="bob", amount_minor=40)
    assert await post(fund_platform, moved) == [CREATED]
    assert await post(fund_platform, moved) == [EXISTS]
    assert await post(fund_platform, request_of("k", claim_no=2)) == [DIFFERENT]
    assert await fetch_balances(fund_platform) == {"alice": 0, "bob": 40, "eve": 0}


async def test_old_and_new_requests_in_one_call_are_each_answered_by_their_own_rule(
    fund_platform: FundPlatform,
) -> None:
    await fund_platform.accounts.close_account("bob")
    await post(fund_platform, request_of("paid"), request_of("refused", claim_no=2, account_id="bob"))
    await fund_platform.accounts.reopen_account("bob")
    codes = await post(
        fund_platform,
        request_of("new-b", account_id="bob"),
        request_of("paid"),
        request_of("refused", account_id="bob"),
        request_of("new-a"),
    )
    assert codes == [CREATED, EXISTS, SUPERSEDED, CREATED]
    assert await fetch_balances(fund_platform) == {"alice": 200, "bob": 100, "eve": 0}


async def test_a_withdrawn_credit_is_refused_until_a_higher_claim_number(
    fund_platform: FundPlatform,
) -> None:
    for _ in range(2):
        assert await withdraw(fund_platform, request_of("k", claim_no=2)) == [WITHDRAWN]
        assert await post(fund_platform, request_of("k", claim_no=2)) == [WITHDRAWN]
    assert await post(fund_platform, request_of("k", claim_no=1)) == [SUPERSEDED]
    assert (await fetch_balances(fund_platform))["alice"] == 0
    assert await post(fund_platform, request_of("k", claim_no=3)) == [CREATED]
    assert await proof_of(fund_platform).fetch_ledger_breaks(10) == []


async def test_what_was_answered_before_it_was_withdrawn_stays_answered(fund_platform: FundPlatform) -> None:
    await post(
        fund_platform, request_of("paid"), request_of("refused", claim_no=2, account_id="nobody"), request_of("other")
    )
    codes = await withdraw(
        fund_platform,
        request_of("new"),
        request_of("paid", claim_no=2),
        request_of("refused", claim_no=2, account_id="nobody"),
        request_of("other", amount_minor=7),
    )
    assert codes == [WITHDRAWN, EXISTS, NOT_FOUND, DIFFERENT]
    assert await withdraw(fund_platform, request_of("refused")) == [SUPERSEDED]
    assert await withdraw(fund_platform, request_of("refused", claim_no=3)) == [WITHDRAWN]
    assert (await fetch_balances(fund_platform))["alice"] == 200
    assert await proof_of(fund_platform).fetch_ledger_breaks(10) == []


async def test_a_withdrawal_needs_no_account_and_tells_the_request_that_it_withdrew(
    fund_platform: FundPlatform,
) -> None:
    assert await withdraw(fund_platform, request_of("k", claim_no=2, account_id="nobody")) == [WITHDRAWN]
    life = await proof_of(fund_platform).fetch_credit_life("k")
    payload = {"account_id": "nobody", "amount_minor": 100, "currency": "USD"}
    assert life == CreditLife(answer=CreditAnswer(result_code=WITHDRAWN, claim_no=2, **payload), postings=[])


@pytest.mark.parametrize(
    "requests",
    [
        [request_of("good"), request_of("twice"), request_of("twice")],
        [request_of("good"), request_of("twice"), request_of("twice", claim_no=2, amount_minor=1)],
        [request_of("good"), request_of("nothing", amount_minor=0)],
        [request_of("good"), request_of("negative", amount_minor=-1)],
        [request_of("good"), request_of("unclaimed", claim_no=0)],
        [request_of("good"), *(request_of(f"k{n}") for n in range(limits.CHUNK_SIZE_MAX))],
    ],
    ids=["key twice", "key twice with two claims", "zero", "negative", "no claim", "too many"],
)
async def test_a_malformed_call_has_no_effect_at_all(
    fund_platform: FundPlatform, requests: list[CreditRequest]
) -> None:
    for ask in (fund_platform.credits.post_credits, fund_platform.credits.withdraw_credits):
        with pytest.raises(ValueError):
            await ask("a test", requests)
    assert await proof_of(fund_platform).fetch_credits("", 10) == []
    assert await post(fund_platform, request_of("good")) == [CREATED]


@not_in_memory("in memory all data can be stored")
async def test_a_credit_that_cannot_be_stored_is_told_as_bad_and_none_is_posted(fund_platform: FundPlatform) -> None:
    requests = [request_of("good"), request_of("bad\0")]
    for ask in (fund_platform.credits.post_credits, fund_platform.credits.withdraw_credits):
        with pytest.raises(DataError):
            await ask("a test", requests)
    assert await post(fund_platform, request_of("good")) == [CREATED]


async def test_totals_count_the_postings_of_the_asked_keys_and_no_others(fund_platform: FundPlatform) -> None:
    await post(
        fund_platform,
        request_of("a", amount_minor=1),
        request_of("b", amount_minor=2),
        request_of("c", amount_minor=4),
        request_of("d", account_id="eve", currency="EUR", amount_minor=8),
        request_of("refused", account_id="nobody"),
    )
    assert await fund_platform.credits.fetch_credit_totals(["a", "c", "d", "refused", "unknown", "a"]) == ControlTotals(
        order_count=3, order_count_by_currency={"EUR": 1, "USD": 2}, amount_minor={"EUR": 8, "USD": 5}
    )


async def test_credits_are_looked_up_by_their_keys_and_no_others_come(fund_platform: FundPlatform) -> None:
    before = datetime.now(UTC)
    await post(fund_platform, request_of("a", amount_minor=1), request_of("b", account_id="eve", currency="EUR"))
    await post(fund_platform, request_of("c"), request_of("refused", account_id="nobody"))
    wanted = ["b", "a", "refused", "unknown", "", "odd\x1fkey", "a"]
    found = sorted(await fund_platform.credits.fetch_credits_of(wanted))
    assert [credit[:5] for credit in found] == [("a", "alice", "USD", 1, 1), ("b", "eve", "EUR", 100, 1)]
    assert all(before - timedelta(minutes=1) < credit.posted_at <= datetime.now(UTC) for credit in found)
    assert list(await fund_platform.credits.fetch_credits_of([])) == []


async def test_slices_give_every_credit_once_by_key_in_code_point_order(fund_platform: FundPlatform) -> None:
    keys = ["a", "B", "_", "é", "ab", "Z", "10", "9", "\U0001f600", "ﬀ"]
    before = datetime.now(UTC)
    for n, key in enumerate(keys):
        await post(fund_platform, request_of(key, amount_minor=n + 1), request_of(f"no-{key}", account_id="nobody"))
    for slice_size in (1, 3, len(keys), 100):
        credits_: list[LedgerCredit] = []
        while page := await proof_of(fund_platform).fetch_credits(credits_[-1][0] if credits_ else "", slice_size):
            assert len(page) <= slice_size
            credits_ += page
        expected = [(key, "alice", "USD", keys.index(key) + 1, 1) for key in sorted(keys)]
        assert [credit[:5] for credit in credits_] == expected
        assert all(before - timedelta(minutes=1) < credit.posted_at <= datetime.now(UTC) for credit in credits_)


async def test_a_key_is_told_with_its_stored_answer_and_its_posting(fund_platform: FundPlatform) -> None:
    await post(fund_platform, request_of("other"))
    await post(fund_platform, request_of("k", account_id="nobody"))
    refused = await proof_of(fund_platform).fetch_credit_life("k")
    request = {"account_id": "nobody", "amount_minor": 100, "currency": "USD"}
    assert refused == CreditLife(answer=CreditAnswer(result_code=NOT_FOUND, claim_no=1, **request), postings=[])

    await fund_platform.credits.post_credits("the chunk that credits", [request_of("k", claim_no=2, amount_minor=70)])
    await post(fund_platform, request_of("k", claim_no=3, amount_minor=71))
    credited = await proof_of(fund_platform).fetch_credit_life("k")
    payload = {"account_id": "alice", "amount_minor": 70, "currency": "USD"}
    assert credited.answer == CreditAnswer(result_code=CREATED, claim_no=2, **payload)
    [posting] = credited.postings
    assert posting.posted_at
    assert abs(datetime.now(UTC) - posting.posted_at) < timedelta(minutes=1)
    assert posting == CreditPosting(
        entry_id=posting.entry_id, reference="the chunk that credits", posted_at=posting.posted_at, **payload
    )
    assert posting.entry_id != (await proof_of(fund_platform).fetch_credit_life("other")).postings[0].entry_id


async def test_a_key_that_was_never_asked_for_has_no_life(fund_platform: FundPlatform) -> None:
    await post(fund_platform, request_of("k"))
    assert await proof_of(fund_platform).fetch_credit_life("kk") == CreditLife(answer=None, postings=[])


async def test_nothing_to_do_is_no_error(fund_platform: FundPlatform) -> None:
    await fund_platform.accounts.open_accounts([])
    assert await fund_platform.credits.post_credits("a test", []) == {}
    assert await fund_platform.credits.withdraw_credits("a test", []) == {}
    assert await fund_platform.credits.fetch_credit_totals([]) == ControlTotals()
    assert await proof_of(fund_platform).fetch_credits("", 10) == []
    assert await proof_of(fund_platform).fetch_ledger_breaks(10) == []


async def test_a_call_that_creates_nothing_leaves_no_journal_entry(fund_platform: FundPlatform) -> None:
    await post(fund_platform, request_of("k"))
    await post(fund_platform, request_of("k"), request_of("refused", account_id="nobody"))
    assert await proof_of(fund_platform).fetch_ledger_breaks(10) == []


@pytest.fixture
def lose_answers(request: pytest.FixtureRequest, fund_platform: FundPlatform) -> Callable[[], Awaitable[None]]:
    """Return a function that deletes all stored answers, bypassing the port."""

    async def lose() -> None:
        if isinstance(fund_platform, MemoryFundPlatform):
            fund_platform.state.answers.clear()
        else:
            await request.getfixturevalue("pool").execute("DELETE FROM credit_answers")

    return lose


async def test_nothing_is_posted_or_withdrawn_where_a_posting_has_no_answer(
    fund_platform: FundPlatform, lose_answers: Callable[[], Awaitable[None]]
) -> None:
    await post(fund_platform, request_of("k"))
    await lose_answers()
    for ask in (fund_platform.credits.post_credits, fund_platform.credits.withdraw_credits):
        with pytest.raises(InvariantViolationError, match="a posting without a stored answer"):
            await ask("a test", [request_of("good"), request_of("k")])
    assert (await proof_of(fund_platform).fetch_credit_life("good")) == CreditLife(answer=None, postings=[])
    assert await fetch_balances(fund_platform) == {"alice": 100, "bob": 0, "eve": 0}
