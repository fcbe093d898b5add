"""Random concurrent credits leave the Fund Platform's ledger consistent, and PostgreSQL agrees with the double."""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from itertools import count, pairwise
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from database.pools import Pool, open_pool
from fund_platform.port import FundPlatform
from fund_platform.postgres import PostgresFundPlatform
from runtime.stack_state import StackState
from schemas.ledger import AccountOpening, CreditRequest, CreditResultCode, LedgerCredit
from tests.doubles.fund_platform import MemoryFundPlatform
from tests.support.databases import lent_database
from tests.support.settlements import proof_of

CONNECTION_COUNT = 8
CREATED = CreditResultCode.CREATED
REFUSALS = {
    CreditResultCode.ACCOUNT_NOT_FOUND,
    CreditResultCode.ACCOUNT_CLOSED,
    CreditResultCode.CURRENCY_MISMATCH,
    CreditResultCode.WITHDRAWN,
}

# All examples of a test share the database. Each uses its own keys and accounts.
seeded = settings(
    max_examples=20,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
_examples = count()


@pytest.fixture
async def pool(stack: StackState) -> AsyncIterator[Pool]:
    with lent_database(stack.database_url, "template_fund_platform") as url:
        async with await open_pool(
            url, schema="fund_platform", application_name="tests", size_max=CONNECTION_COUNT
        ) as pool:
            yield pool


@pytest.fixture
def fund_platform(pool: Pool) -> PostgresFundPlatform:
    return PostgresFundPlatform(pool)


class Shape(NamedTuple):
    """The shape of a generated list of credits."""

    seed: int
    request_count: int
    account_count: int


# With fewer accounts, each of them is hotter.
shapes = st.builds(Shape, st.integers(0, 2**32), st.integers(1, 150), st.integers(1, 12))


def make_requests(rng: random.Random, shape: Shape, prefix: str) -> list[CreditRequest]:
    """Return credits to accounts 0 to `account_count`. The last account is never opened."""
    return [
        CreditRequest(
            idempotency_key=f"{prefix}key-{n}",
            claim_no=1,
            account_id=f"{prefix}account-{rng.randint(0, shape.account_count)}",
            amount_minor=rng.choice((1, 99, 10_000_00)),
            currency=rng.choice(("USD", "USD", "USD", "EUR")),
        )
        for n in range(shape.request_count)
    ]


def split(rng: random.Random, requests: Sequence[CreditRequest]) -> list[list[CreditRequest]]:
    """Return the requests in another order, divided into one or a few calls."""
    shuffled = rng.sample(requests, len(requests))
    bounds = sorted({0, len(shuffled), *(rng.randint(0, len(shuffled)) for _ in range(rng.randint(0, 5)))})
    return [shuffled[start:end] for start, end in pairwise(bounds)]


async def open_some(fund_platform: FundPlatform, rng: random.Random, shape: Shape, prefix: str) -> None:
    account_ids = [f"{prefix}account-{n}" for n in range(shape.account_count)]
    await fund_platform.accounts.open_accounts(
        [AccountOpening(account_id, rng.choice(("USD", "USD", "EUR"))) for account_id in account_ids]
    )
    if rng.random() < 0.5:
        await fund_platform.accounts.close_account(rng.choice(account_ids))


async def post_calls(
    fund_platform: FundPlatform, calls: Sequence[Sequence[CreditRequest]], withdrawing: random.Random | None = None
) -> list[tuple[CreditRequest, CreditResultCode]]:
    """Make the calls one after another. If `withdrawing` is given, a third of them withdraw."""
    answered = []
    for requests in calls:
        is_withdrawal = withdrawing is not None and withdrawing.random() < 1 / 3
        ask = fund_platform.credits.withdraw_credits if is_withdrawal else fund_platform.credits.post_credits
        answers = await ask("random", requests)
        answered += [(request, answers[request.idempotency_key]) for request in requests]
    return answered


async def post_at_once(
    pool: Pool,
    lists_of_calls: Sequence[Sequence[Sequence[CreditRequest]]],
    withdrawing: random.Random | None = None,
) -> dict[str, list[tuple[CreditRequest, CreditResultCode]]]:
    """Make each list's calls one after another and all lists concurrently, each like a separate process.

    Returns the answers by key.
    """
    by_key: defaultdict[str, list[tuple[CreditRequest, CreditResultCode]]] = defaultdict(list)
    posting = (post_calls(PostgresFundPlatform(pool), calls, withdrawing) for calls in lists_of_calls)
    for answered in await asyncio.gather(*posting):
        for request, code in answered:
            by_key[request.idempotency_key].append((request, code))
    return by_key


async def fetch_state(
    fund_platform: FundPlatform, shape: Shape, prefix: str
) -> tuple[list[LedgerCredit], dict[str, int]]:
    credits_ = [
        credit for credit in await proof_of(fund_platform).fetch_credits(prefix, 10_000) if credit[0].startswith(prefix)
    ]
    balances = {}
    for n in range(shape.account_count):
        account = await fund_platform.accounts.fetch_account(f"{prefix}account-{n}")
        balances[account.account_id] = account.balance_minor
    return credits_, balances


@seeded
@given(shape=shapes)
async def test_one_list_credited_by_eight_at_once_in_any_split_changes_the_ledger_once(
    fund_platform: PostgresFundPlatform, pool: Pool, shape: Shape
) -> None:
    prefix = f"{next(_examples):06d}-"
    rng = random.Random(shape.seed)
    await open_some(fund_platform, rng, shape, prefix)
    requests = make_requests(rng, shape, prefix)

    answers = await post_at_once(pool, [split(rng, requests) for _ in range(CONNECTION_COUNT)])

    assert len(answers) == len(requests)
    for answered in answers.values():
        codes = Counter(code for _, code in answered)
        refused = len(codes) == 1 and set(codes) <= REFUSALS
        assert refused or codes == {CREATED: 1, CreditResultCode.EXISTS: CONNECTION_COUNT - 1}
    state = await fetch_state(fund_platform, shape, prefix)
    created = [request for r in requests for request, code in answers[r.idempotency_key] if code is CREATED]
    assert [credit[:5] for credit in state[0]] == sorted(
        (r.idempotency_key, r.account_id, r.currency, r.amount_minor, 1) for r in created
    )
    for account_id, balance_minor in state[1].items():
        assert balance_minor == sum(r.amount_minor for r in created if r.account_id == account_id)

    again = await post_at_once(pool, [split(rng, requests) for _ in range(CONNECTION_COUNT)])

    assert CREATED not in {code for answered in again.values() for _, code in answered}
    assert await fetch_state(fund_platform, shape, prefix) == state
    assert await proof_of(fund_platform).fetch_ledger_breaks(10) == []


@seeded
@given(shape=shapes)
async def test_rivals_with_crossed_payloads_and_claims_pay_a_key_once_and_never_deadlock(
    fund_platform: PostgresFundPlatform, pool: Pool, shape: Shape
) -> None:
    """Every caller has its own account, amount and claim number for each key, and also keys of its own.

    The shared keys make the callers meet at keys, the others at the same hot accounts. One account closes meanwhile.
    """
    prefix = f"{next(_examples):06d}-"
    rng = random.Random(shape.seed)
    await open_some(fund_platform, rng, shape, prefix)
    lists_of_calls = []
    for caller in range(CONNECTION_COUNT):
        shared = make_requests(rng, shape, prefix)
        own = [r._replace(idempotency_key=f"{prefix}own-{caller}-{n}") for n, r in enumerate(shared)]
        lists_of_calls.append(
            split(rng, [r._replace(claim_no=rng.randint(1, 3)) for r in rng.choice([shared + own, own])])
        )

    async def close_and_reopen() -> None:
        for _ in range(3):
            await fund_platform.accounts.close_account(f"{prefix}account-0")
            await fund_platform.accounts.reopen_account(f"{prefix}account-0")

    answers, _ = await asyncio.gather(post_at_once(pool, lists_of_calls, rng), close_and_reopen())

    paid = []
    for answered in answers.values():
        created = [request for request, code in answered if code is CREATED]
        refused_claim_nos = [request.claim_no for request, code in answered if code in REFUSALS]
        assert len(created) <= 1
        if created:
            paid += created
            assert created[0].claim_no > max(refused_claim_nos, default=0), "a refused claim was credited after all"
    credits_, _ = await fetch_state(fund_platform, shape, prefix)
    assert [credit[:5] for credit in credits_] == sorted(
        (r.idempotency_key, r.account_id, r.currency, r.amount_minor, 1) for r in paid
    )
    assert await proof_of(fund_platform).fetch_ledger_breaks(10) == []


keys = st.sampled_from(["key-1", "key-2", "key-3"])
account_names = st.sampled_from(["alice", "bob", "late"])
currencies = st.sampled_from(["USD", "EUR"])
calls = st.lists(
    st.builds(CreditRequest, keys, st.integers(1, 4), account_names, st.sampled_from([1, 2]), currencies),
    max_size=3,
    unique_by=lambda request: request.idempotency_key,
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("post"), calls),
        st.tuples(st.just("post"), calls),
        st.tuples(st.just("withdraw"), calls),
        st.tuples(st.sampled_from(["close", "reopen"]), st.sampled_from(["alice", "bob"])),
        st.tuples(st.just("open"), st.builds(AccountOpening, account_names, currencies)),
    ),
    min_size=5,
    max_size=25,
)


async def take_step(fund_platform: FundPlatform, prefix: str, verb: str, argument: Any) -> Any:
    if verb in ("post", "withdraw"):
        requests = [
            r._replace(idempotency_key=prefix + r.idempotency_key, account_id=prefix + r.account_id) for r in argument
        ]
        ask = fund_platform.credits.post_credits if verb == "post" else fund_platform.credits.withdraw_credits
        return await ask("random", requests)
    if verb == "open":
        return await fund_platform.accounts.open_accounts([argument._replace(account_id=prefix + argument.account_id)])
    change = fund_platform.accounts.close_account if verb == "close" else fund_platform.accounts.reopen_account
    account = await change(prefix + argument)
    return account.balance_minor, account.currency, account.closed_at is None


@settings(seeded, max_examples=40)
@given(steps=steps)
async def test_postgresql_answers_any_sequence_of_calls_as_the_one_in_memory(
    fund_platform: PostgresFundPlatform, steps: list[tuple[str, Any]]
) -> None:
    prefix = f"{next(_examples):06d}-"
    model = MemoryFundPlatform()
    for platform in (model, fund_platform):
        await platform.accounts.open_accounts([AccountOpening(f"{prefix}{name}", "USD") for name in ("alice", "bob")])
    for step in steps:
        assert await take_step(fund_platform, prefix, *step) == await take_step(model, prefix, *step), step
    expected = await model.proof.fetch_credits(prefix, 10)
    found = [
        credit for credit in await proof_of(fund_platform).fetch_credits(prefix, 10) if credit[0].startswith(prefix)
    ]
    assert [credit[:5] for credit in found] == [credit[:5] for credit in expected]
    all_keys = [f"{prefix}key-{n}" for n in (1, 2, 3)]
    assert await fund_platform.credits.fetch_credit_totals(all_keys) == await model.credits.fetch_credit_totals(
        all_keys
    )
    for name in ("alice", "bob"):
        balances = [(await p.accounts.fetch_account(prefix + name)).balance_minor for p in (model, fund_platform)]
        assert balances[0] == balances[1]
    assert await model.proof.fetch_ledger_breaks(10) == await proof_of(fund_platform).fetch_ledger_breaks(10) == []
