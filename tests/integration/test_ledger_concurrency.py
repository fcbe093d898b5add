"""Concurrent credits, account closings and rival calls each see what the one before committed."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pytest

from database.pools import Pool, open_pool
from domain import limits
from fund_platform.postgres import PostgresFundPlatform
from runtime.stack_state import StackState
from schemas.ledger import AccountOpening, CreditRequest, CreditResultCode
from tests.support.databases import lent_database
from tests.support.settlements import DEADLINE_S

Result = TypeVar("Result")

REQUEST = CreditRequest("k", 2, "alice", 100, "USD")
BLOCKED_COUNT = """
    SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
"""
STORE_ANSWER = "INSERT INTO credit_answers VALUES ('k', $1, $2, 'alice', 100, 'USD')"


@pytest.fixture
async def pool(stack: StackState, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pool]:
    """A pool whose connections wait for a rival as long as a busy machine needs to show it."""
    for bound in ("LOCK_TIMEOUT_S", "IDLE_IN_TRANSACTION_TIMEOUT_S"):
        monkeypatch.setattr(limits, bound, 1_200)
    with lent_database(stack.database_url, "template_fund_platform") as url:
        async with await open_pool(
            url, schema="fund_platform", application_name="tests", statement_timeout_s=1_200
        ) as pool:
            yield pool


@pytest.fixture
async def fund_platform(pool: Pool) -> PostgresFundPlatform:
    fund_platform = PostgresFundPlatform(pool)
    await fund_platform.accounts.open_accounts([AccountOpening("alice", "USD"), AccountOpening("bob", "USD")])
    return fund_platform


async def start_and_see_blocked(pool: Pool, *work: Coroutine[Any, Any, Result]) -> list[asyncio.Task[Result]]:
    """Start work that has to wait for a rival's lock, and return once all of it waits."""
    tasks = [asyncio.create_task(coroutine) for coroutine in work]
    async with asyncio.timeout(DEADLINE_S):
        while await pool.fetchval(BLOCKED_COUNT) < len(tasks):
            for task in tasks:
                if task.done():
                    raise AssertionError(f"did not wait: {task}")
            await asyncio.sleep(0.01)
    return tasks


@asynccontextmanager
async def rival(pool: Pool, statement: str, *arguments: object) -> AsyncIterator[None]:
    """Hold the locks that a statement takes, and commit at the end."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(statement, *arguments)
        yield


async def balance_of(fund_platform: PostgresFundPlatform, account_id: str = "alice") -> int:
    return (await fund_platform.accounts.fetch_account(account_id)).balance_minor


async def test_a_credit_that_waited_for_a_closing_is_refused_and_the_rest_credited(
    fund_platform: PostgresFundPlatform, pool: Pool
) -> None:
    requests = [REQUEST, REQUEST._replace(idempotency_key="k-bob", account_id="bob", amount_minor=7)]
    async with rival(pool, "UPDATE accounts SET closed_at = now() WHERE account_id = 'alice'"):
        [task] = await start_and_see_blocked(pool, fund_platform.credits.post_credits("a test", requests))
    assert await task == {"k": CreditResultCode.ACCOUNT_CLOSED, "k-bob": CreditResultCode.CREATED}
    assert await balance_of(fund_platform) == 0
    assert await balance_of(fund_platform, "bob") == 7
    assert await fund_platform.proof.fetch_ledger_breaks(10) == []


async def test_the_refusal_of_a_credit_that_waited_for_a_closing_is_stored_like_any_other(
    fund_platform: PostgresFundPlatform, pool: Pool
) -> None:
    async with rival(pool, "UPDATE accounts SET closed_at = now()"):
        [task] = await start_and_see_blocked(pool, fund_platform.credits.post_credits("a test", [REQUEST]))
    await task
    await fund_platform.accounts.reopen_account("alice")
    for claim_no, code in (
        (2, CreditResultCode.ACCOUNT_CLOSED),
        (1, CreditResultCode.SUPERSEDED),
        (3, CreditResultCode.CREATED),
    ):
        assert await fund_platform.credits.post_credits("again", [REQUEST._replace(claim_no=claim_no)]) == {"k": code}
    assert await fund_platform.proof.fetch_ledger_breaks(10) == []


async def test_a_credit_that_waited_for_a_closing_and_a_reopening_is_created(
    fund_platform: PostgresFundPlatform, pool: Pool
) -> None:
    async with rival(pool, "UPDATE accounts SET closed_at = now(); UPDATE accounts SET closed_at = NULL"):
        [task] = await start_and_see_blocked(pool, fund_platform.credits.post_credits("a test", [REQUEST]))
    assert await task == {"k": CreditResultCode.CREATED}
    assert await balance_of(fund_platform) == 100


async def test_a_closing_waits_for_a_credit_that_is_under_way(fund_platform: PostgresFundPlatform, pool: Pool) -> None:
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        # The credit stops at its posting, when it already holds its account's lock.
        await connection.execute("INSERT INTO postings VALUES (1, 'alice', 100, 'USD', 'k')")
        [credit] = await start_and_see_blocked(pool, fund_platform.credits.post_credits("a test", [REQUEST]))
        closing = asyncio.create_task(fund_platform.accounts.close_account("alice"))
        async with asyncio.timeout(DEADLINE_S):
            while await pool.fetchval(BLOCKED_COUNT) < 2:
                assert not closing.done()
                await asyncio.sleep(0.01)
        await transaction.rollback()
    assert await credit == {"k": CreditResultCode.CREATED}
    closed = await closing
    assert closed.closed_at is not None
    assert closed.balance_minor == 100


async def test_a_balance_that_a_rival_changed_meanwhile_is_added_to_and_not_overwritten(
    fund_platform: PostgresFundPlatform, pool: Pool
) -> None:
    requests = [
        REQUEST._replace(idempotency_key=f"k{n}", account_id=("alice", "bob")[n % 2], amount_minor=n)
        for n in range(1, 7)
    ]
    async with rival(pool, "UPDATE accounts SET balance_minor = balance_minor + 1000"):
        [task] = await start_and_see_blocked(pool, fund_platform.credits.post_credits("a test", requests))
    await task
    assert await balance_of(fund_platform, "alice") == 1000 + 2 + 4 + 6
    assert await balance_of(fund_platform, "bob") == 1000 + 1 + 3 + 5


@pytest.mark.parametrize(
    ("claim_no", "code"),
    [
        (1, CreditResultCode.CREATED),
        (2, CreditResultCode.CURRENCY_MISMATCH),
        (3, CreditResultCode.SUPERSEDED),
    ],
)
async def test_a_credit_that_waited_for_a_rivals_refusal_obeys_the_claim_numbers(
    fund_platform: PostgresFundPlatform, pool: Pool, claim_no: int, code: CreditResultCode
) -> None:
    async with rival(pool, STORE_ANSWER, claim_no, "currency_mismatch"):
        [task] = await start_and_see_blocked(pool, fund_platform.credits.post_credits("a test", [REQUEST]))
    assert await task == {"k": code}
    assert await balance_of(fund_platform) == (100 if code is CreditResultCode.CREATED else 0)
    assert await fund_platform.proof.fetch_ledger_breaks(10) == []


@pytest.mark.parametrize(
    ("claim_no", "stored_code", "code"),
    [
        (1, "account_closed", CreditResultCode.WITHDRAWN),
        (2, "account_closed", CreditResultCode.ACCOUNT_CLOSED),
        (3, "withdrawn", CreditResultCode.SUPERSEDED),
        (1, "created", CreditResultCode.EXISTS),
    ],
)
async def test_a_withdrawal_that_waited_for_a_rivals_answer_to_its_key_leaves_what_stands(
    fund_platform: PostgresFundPlatform, pool: Pool, claim_no: int, stored_code: str, code: CreditResultCode
) -> None:
    async with rival(pool, STORE_ANSWER, claim_no, stored_code):
        [task] = await start_and_see_blocked(pool, fund_platform.credits.withdraw_credits("a test", [REQUEST]))
    assert await task == {"k": code}


async def test_a_credit_that_waited_for_its_withdrawal_creates_nothing(
    fund_platform: PostgresFundPlatform, pool: Pool
) -> None:
    async with rival(pool, STORE_ANSWER, 2, "withdrawn"):
        [task] = await start_and_see_blocked(pool, fund_platform.credits.post_credits("late", [REQUEST]))
    assert await task == {"k": CreditResultCode.WITHDRAWN}
    assert await balance_of(fund_platform) == 0


async def test_the_same_credit_in_calls_that_wait_for_each_other_is_created_once(
    fund_platform: PostgresFundPlatform, pool: Pool
) -> None:
    async with rival(pool, "SELECT FROM accounts FOR UPDATE"):
        tasks = await start_and_see_blocked(
            pool, *(PostgresFundPlatform(pool).credits.post_credits(f"call {n}", [REQUEST]) for n in range(6))
        )
    codes = [code for answers in await asyncio.gather(*tasks) for code in answers.values()]
    assert sorted(codes) == [CreditResultCode.CREATED, *[CreditResultCode.EXISTS] * 5]
    assert await balance_of(fund_platform) == 100
    assert await fund_platform.proof.fetch_ledger_breaks(10) == []


async def test_rivals_that_credit_one_key_to_different_accounts_wait_and_do_not_deadlock(
    fund_platform: PostgresFundPlatform, pool: Pool
) -> None:
    """Each call holds an account that the others do not need, so they first meet at the keys."""
    keys = [f"k{n}" for n in range(20)]
    calls = [
        fund_platform.credits.post_credits("to alice", [REQUEST._replace(idempotency_key=key) for key in keys]),
        PostgresFundPlatform(pool).credits.post_credits(
            "to bob", [REQUEST._replace(idempotency_key=key, account_id="bob") for key in reversed(keys)]
        ),
    ]
    async with rival(pool, STORE_ANSWER.replace("'k'", "'k10'"), 1, "account_closed"):
        tasks = await start_and_see_blocked(pool, *calls)
    codes = [code for answers in await asyncio.gather(*tasks) for code in answers.values()]
    assert sorted(codes) == [CreditResultCode.CREATED] * 20 + [CreditResultCode.EXISTS_WITH_DIFFERENT_PAYLOAD] * 20
    assert await fund_platform.proof.fetch_ledger_breaks(10) == []


async def test_of_one_process_a_single_call_credits_at_a_time(fund_platform: PostgresFundPlatform, pool: Pool) -> None:
    """More calls would wait for the same accounts' rows and read each row again if it changed meanwhile."""
    async with rival(pool, "SELECT FROM accounts FOR UPDATE"):
        tasks = await start_and_see_blocked(pool, fund_platform.credits.post_credits("call 0", [REQUEST]))
        others = [asyncio.create_task(fund_platform.credits.post_credits(f"call {n}", [REQUEST])) for n in (1, 2)]
        blocked_counts = {await pool.fetchval(BLOCKED_COUNT) for _ in range(50)}  # long enough for the others to begin
    assert blocked_counts == {limits.CREDIT_CALLS_AT_A_TIME} == {1}
    answers = await asyncio.gather(*tasks, *others)
    assert [answer["k"] for answer in answers] == ["created", "exists", "exists"]
