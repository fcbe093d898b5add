"""The ledger's own guards hold: the database keeps it append-only, and pays a key once whatever the answers say."""

import asyncpg
import pytest

from database.pools import Pool
from domain.errors import DataError, InvariantViolationError
from fund_platform.postgres import PostgresFundPlatform
from schemas.ledger import AccountOpening, CreditRequest
from schemas.next_steps import AUDIT

REQUEST = CreditRequest("k", 1, "alice", 100, "USD")


@pytest.fixture
async def fund_platform(pool: Pool) -> PostgresFundPlatform:
    fund_platform = PostgresFundPlatform(pool)
    await fund_platform.accounts.open_accounts([AccountOpening("alice", "USD")])
    await fund_platform.credits.post_credits("a test", [REQUEST])
    return fund_platform


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE {} SET entry_id = entry_id",
        "UPDATE {} SET entry_id = 2 WHERE false",
        "DELETE FROM {}",
        "TRUNCATE {}",
    ],
)
@pytest.mark.parametrize("table", ["journal_entries", "postings"])
async def test_an_entry_or_posting_is_never_changed_or_removed(
    fund_platform: PostgresFundPlatform, pool: Pool, table: str, change: str
) -> None:
    verb = change.split(maxsplit=1)[0]
    with pytest.raises(
        asyncpg.RestrictViolationError, match=f"^The ledger is append-only: {verb} on {table} was refused"
    ):
        await pool.execute(change.format(table))
    assert await pool.fetchval(f"SELECT count(*) FROM {table}") > 0


async def test_a_key_whose_answer_was_lost_is_not_paid_again(fund_platform: PostgresFundPlatform, pool: Pool) -> None:
    await pool.execute("DELETE FROM credit_answers")
    other = CreditRequest("other", 1, "alice", 5, "USD")
    with pytest.raises(InvariantViolationError, match=r"\(k\) already exists"):
        await fund_platform.credits.post_credits("a test", [REQUEST, other])
    assert (await fund_platform.accounts.fetch_account("alice")).balance_minor == 100
    assert await pool.fetchval("SELECT count(*) FROM credit_answers") == 0


async def test_a_key_whose_answer_was_lost_is_not_withdrawn(fund_platform: PostgresFundPlatform, pool: Pool) -> None:
    await pool.execute("DELETE FROM credit_answers")
    other = CreditRequest("other", 1, "alice", 5, "USD")
    with pytest.raises(InvariantViolationError) as raised:
        await fund_platform.credits.withdraw_credits("a test", [other, REQUEST])
    assert raised.value.next_step == AUDIT
    assert await pool.fetchval("SELECT count(*) FROM credit_answers") == 0


async def test_a_balance_too_big_for_the_ledger_is_an_error_and_posts_nothing(
    fund_platform: PostgresFundPlatform,
) -> None:
    huge = [CreditRequest(f"huge-{n}", 1, "alice", 2**62, "USD") for n in range(2)]
    with pytest.raises(DataError, match="out of range"):
        await fund_platform.credits.post_credits("a test", huge)
    assert (await fund_platform.accounts.fetch_account("alice")).balance_minor == 100
    assert await fund_platform.proof.fetch_ledger_breaks(10) == []


async def test_a_funding_account_never_has_an_account_row_that_every_call_would_queue_for(pool: Pool) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await pool.execute("INSERT INTO accounts (account_id, currency) VALUES ('funding:USD', 'USD')")
