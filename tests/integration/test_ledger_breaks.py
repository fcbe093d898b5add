"""Every planted contradiction in the ledger is found, and nothing else."""

import pytest

from database.pools import Pool
from fund_platform.postgres import PostgresFundPlatform
from schemas.ledger import AccountOpening, CreditRequest
from schemas.wire.totals import ControlTotals

REQUESTS = [
    CreditRequest("k1", 1, "alice", 100, "USD"),
    CreditRequest("k2", 1, "bob", 20, "USD"),
    CreditRequest("k3", 1, "bob", 3, "USD"),
    CreditRequest("k4", 1, "nobody", 1, "USD"),
]
PLANTED = {
    "an unbalanced entry": (
        "INSERT INTO postings VALUES (1, 'funding:USD', -5, 'USD', NULL)",
        [("unbalanced_entry", "1", "The postings in USD sum to -5 minor units instead of 0.")],
    ),
    "an entry unbalanced in each currency, though its numbers sum to zero": (
        """INSERT INTO journal_entries VALUES (9, 'planted');
        INSERT INTO postings VALUES (9, 'funding:USD', -5, 'USD', NULL), (9, 'funding:EUR', 5, 'EUR', NULL)""",
        [
            ("unbalanced_entry", "9", "The postings in EUR sum to 5 minor units instead of 0."),
            ("unbalanced_entry", "9", "The postings in USD sum to -5 minor units instead of 0."),
        ],
    ),
    "a balance too high": (
        "UPDATE accounts SET balance_minor = 101 WHERE account_id = 'alice'",
        [("balance_off", "alice", "The balance is 101, but the postings sum to 100 minor units of USD.")],
    ),
    "a balance without a posting": (
        "INSERT INTO accounts VALUES ('carol', 'USD', 7)",
        [("balance_off", "carol", "The balance is 7, but the postings sum to 0 minor units of USD.")],
    ),
    "an entry removed": (
        "DELETE FROM journal_entries",
        [
            ("posting_without_entry", "1", "A posting of -123 USD to funding:USD names entry 1, which does not exist."),
            ("posting_without_entry", "k1", "A posting of 100 USD to alice names entry 1, which does not exist."),
            ("posting_without_entry", "k2", "A posting of 20 USD to bob names entry 1, which does not exist."),
            ("posting_without_entry", "k3", "A posting of 3 USD to bob names entry 1, which does not exist."),
        ],
    ),
    "an entry without a posting": (
        "INSERT INTO journal_entries VALUES (9, 'planted')",
        [("entry_without_posting", "9", "The entry for planted has no posting.")],
    ),
    "an account removed": (
        "DELETE FROM accounts WHERE account_id = 'alice'",
        [
            (
                "posting_without_account",
                "k1",
                "A posting of 100 USD names alice, but there is no such account in this currency.",
            )
        ],
    ),
    "an account turned into another currency": (
        "UPDATE accounts SET currency = 'EUR' WHERE account_id = 'alice'",
        [
            ("balance_off", "alice", "The balance is 100, but the postings sum to 0 minor units of EUR."),
            (
                "posting_without_account",
                "k1",
                "A posting of 100 USD names alice, but there is no such account in this currency.",
            ),
        ],
    ),
    "an answer without its posting": (
        "INSERT INTO credit_answers VALUES ('k9', 1, 'created', 'alice', 9, 'USD')",
        [
            (
                "answer_without_posting",
                "k9",
                "The answer says that 9 USD was credited to alice, but no posting has this key.",
            )
        ],
    ),
    "an answer removed": (
        "DELETE FROM credit_answers WHERE idempotency_key = 'k1'",
        [("posting_without_answer", "k1", "A posting of 100 USD to alice has no stored answer that it was created.")],
    ),
    "an answer turned into a refusal": (
        "UPDATE credit_answers SET result_code = 'account_closed' WHERE idempotency_key = 'k1'",
        [("posting_without_answer", "k1", "A posting of 100 USD to alice has no stored answer that it was created.")],
    ),
    "a customer's posting without a key": (
        """ALTER TABLE postings DROP CONSTRAINT postings_check;
        INSERT INTO postings VALUES (1, 'alice', 5, 'USD', NULL), (1, 'funding:USD', -5, 'USD', NULL);
        UPDATE accounts SET balance_minor = 105 WHERE account_id = 'alice'""",
        [("posting_without_answer", "1", "A posting of 5 USD to alice has no stored answer that it was created.")],
    ),
    "an answer with another amount": (
        "UPDATE credit_answers SET amount_minor = 99 WHERE idempotency_key = 'k1'",
        [("posting_differs_from_answer", "k1", "The answer says 99 USD to alice; the posting says 100 USD to alice.")],
    ),
    "an answer with another account": (
        "UPDATE credit_answers SET account_id = 'bob' WHERE idempotency_key = 'k1'",
        [("posting_differs_from_answer", "k1", "The answer says 100 USD to bob; the posting says 100 USD to alice.")],
    ),
    "an answer with another currency": (
        "UPDATE credit_answers SET currency = 'EUR' WHERE idempotency_key = 'k1'",
        [("posting_differs_from_answer", "k1", "The answer says 100 EUR to alice; the posting says 100 USD to alice.")],
    ),
    "a key paid twice": (
        """DROP INDEX postings_by_key;
        INSERT INTO journal_entries VALUES (9, 'planted');
        INSERT INTO postings VALUES (9, 'alice', 100, 'USD', 'k1'), (9, 'funding:USD', -100, 'USD', NULL);
        UPDATE accounts SET balance_minor = 200 WHERE account_id = 'alice'""",
        [("duplicate_credit", "k1", "The key has 2 postings that sum to 200 minor units.")],
    ),
}


@pytest.fixture
async def fund_platform(pool: Pool) -> PostgresFundPlatform:
    fund_platform = PostgresFundPlatform(pool)
    await fund_platform.accounts.open_accounts([AccountOpening("alice", "USD"), AccountOpening("bob", "USD")])
    await fund_platform.credits.post_credits("a test", REQUESTS)
    assert await fund_platform.proof.fetch_ledger_breaks(10) == []
    return fund_platform


async def plant(pool: Pool, statements: str) -> None:
    """Plant a break as only a superuser can, with the append-only rule off."""
    await pool.execute(f"SET session_replication_role = replica; {statements}")


@pytest.mark.parametrize("name", PLANTED)
async def test_a_planted_break_is_found_and_nothing_else(
    fund_platform: PostgresFundPlatform, pool: Pool, name: str
) -> None:
    statements, expected = PLANTED[name]
    await plant(pool, statements)
    breaks = await fund_platform.proof.fetch_ledger_breaks(10)
    assert sorted((found.kind, found.id, found.detail) for found in breaks) == expected


async def test_the_bound_is_for_each_kind_so_that_many_of_one_do_not_hide_another(
    fund_platform: PostgresFundPlatform, pool: Pool
) -> None:
    await plant(
        pool,
        """INSERT INTO journal_entries SELECT n, 'planted' FROM generate_series(10, 30) AS n;
        INSERT INTO credit_answers SELECT 'k' || n, 1, 'created', 'alice', 1, 'USD' FROM generate_series(10, 30) AS n;
        UPDATE accounts SET balance_minor = 0""",
    )
    kinds = [found.kind for found in await fund_platform.proof.fetch_ledger_breaks(2)]
    assert kinds == [kind for kind in ("answer_without_posting", "balance_off", "entry_without_posting") for _ in "12"]


async def test_a_key_paid_twice_is_one_credit_that_counts_twice_in_the_totals(
    fund_platform: PostgresFundPlatform, pool: Pool
) -> None:
    await plant(pool, PLANTED["a key paid twice"][0])
    for slice_size in (1, 10):
        [credit, *_] = await fund_platform.proof.fetch_credits("", slice_size)
        assert credit[:5] == ("k1", "alice", "USD", 200, 2)
        following = await fund_platform.proof.fetch_credits("k1", slice_size)
        assert [c.idempotency_key for c in following] == ["k2", "k3"][:slice_size]
    assert await fund_platform.credits.fetch_credit_totals(["k1", "k2"]) == ControlTotals(
        order_count=3, order_count_by_currency={"USD": 3}, amount_minor={"USD": 220}
    )


async def test_a_credit_whose_entry_was_removed_is_still_read(fund_platform: PostgresFundPlatform, pool: Pool) -> None:
    await plant(pool, PLANTED["an entry removed"][0])
    credits_ = await fund_platform.proof.fetch_credits("", 10)
    assert [(credit.idempotency_key, credit.posted_at.timestamp()) for credit in credits_] == [
        ("k1", 0),
        ("k2", 0),
        ("k3", 0),
    ]
