"""The Fund Platform on PostgreSQL. What the methods guarantee stands in `fund_platform.port`."""

from collections.abc import Mapping, Sequence

import asyncpg

from database.pools import Connection, Pool
from database.queries import load_query
from domain.control_totals import totals_of
from domain.errors import AccountNotFoundError, InvariantViolationError
from fund_platform.port import check_account_openings, check_credit_requests
from schemas.batches import ControlTotals
from schemas.ledger import Account, AccountOpening, CreditRequest, CreditResultCode, LedgerCredit

_OPEN_ACCOUNTS = load_query("fund_platform", "open_accounts")
_FETCH_ACCOUNT = load_query("fund_platform", "fetch_account")
_CLOSE_ACCOUNT = load_query("fund_platform", "close_account")
_REOPEN_ACCOUNT = load_query("fund_platform", "reopen_account")
_JUDGE_CREDITS = load_query("fund_platform", "judge_credits")
_POST_CREDITS = load_query("fund_platform", "post_credits")
_FETCH_ANSWERS = load_query("fund_platform", "fetch_answers")
_FETCH_CREDIT_TOTALS = load_query("fund_platform", "fetch_credit_totals")
_FETCH_CREDITS = load_query("fund_platform", "fetch_credits")
_FETCH_LEDGER_BREAKS = load_query("fund_platform", "fetch_ledger_breaks")


class PostgresFundPlatform:
    """Accounts, answers and a double-entry ledger in tables; every call is a few statements over all its rows."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def open_accounts(self, openings: Sequence[AccountOpening]) -> None:
        """See `FundPlatform.open_accounts`."""
        check_account_openings(openings)
        if openings:
            await self._pool.execute(_OPEN_ACCOUNTS, *zip(*openings, strict=True))

    async def fetch_account(self, account_id: str) -> Account:
        """See `FundPlatform.fetch_account`."""
        return await self._fetch_account(_FETCH_ACCOUNT, account_id)

    async def close_account(self, account_id: str) -> Account:
        """See `FundPlatform.close_account`."""
        return await self._fetch_account(_CLOSE_ACCOUNT, account_id)

    async def reopen_account(self, account_id: str) -> Account:
        """See `FundPlatform.reopen_account`."""
        return await self._fetch_account(_REOPEN_ACCOUNT, account_id)

    async def _fetch_account(self, query: str, account_id: str) -> Account:
        row = await self._pool.fetchrow(query, account_id)
        if row is None:
            raise AccountNotFoundError(f"The Fund Platform has no account {account_id}. Check its id.")
        return Account(**row)

    async def post_credits(self, reference: str, requests: Sequence[CreditRequest]) -> Mapping[str, CreditResultCode]:
        """See `FundPlatform.post_credits`.

        Two statements, so that all accounts are locked before the first key is, by construction: in a single
        one that order would be the planner's to choose, and calls with crossed payloads could deadlock. The
        second one's snapshot is also younger than the locks. A third reads the answers to the keys that were
        answered before.
        """
        check_credit_requests(requests)
        if not requests:
            return {}
        # READ COMMITTED is relied on: each statement has to see what was committed while the one before waited.
        async with self._pool.acquire() as connection, connection.transaction(isolation="read_committed"):
            codes = await _judge_credits(connection, requests)
            unanswered_keys = await _store_answers(connection, reference, requests, codes)
            earlier = await _fetch_answers(connection, requests, unanswered_keys) if unanswered_keys else {}
        answers = dict(zip((request.idempotency_key for request in requests), codes, strict=True))
        answers.update(earlier)
        return answers

    async def fetch_credit_totals(self, idempotency_keys: Sequence[str]) -> ControlTotals:
        """See `FundPlatform.fetch_credit_totals`."""
        rows = await self._pool.fetch(_FETCH_CREDIT_TOTALS, idempotency_keys)
        return totals_of((row["currency"], row["order_count"], row["amount_minor"]) for row in rows)

    async def fetch_credits(self, after_key: str, credit_count_max: int) -> list[LedgerCredit]:
        """See `FundPlatform.fetch_credits`."""
        rows = await self._pool.fetch(_FETCH_CREDITS, after_key, credit_count_max)
        return [LedgerCredit(*row) for row in rows]

    async def fetch_ledger_breaks(self, break_count_max: int) -> list[tuple[str, str, str]]:
        """See `FundPlatform.fetch_ledger_breaks`."""
        rows = await self._pool.fetch(_FETCH_LEDGER_BREAKS, break_count_max)
        return [(row["kind"], row["id"], row["detail"]) for row in rows]


async def _judge_credits(connection: Connection, requests: Sequence[CreditRequest]) -> list[CreditResultCode]:
    """Lock the accounts and say, request by request, what is answered if the request's key is judged now."""
    codes = [CreditResultCode.CREATED] * len(requests)
    account_ids = [request.account_id for request in requests]
    currencies = [request.currency for request in requests]
    for position, code in await connection.fetch(_JUDGE_CREDITS, account_ids, currencies):
        codes[position - 1] = CreditResultCode(code)
    return codes


async def _store_answers(
    connection: Connection, reference: str, requests: Sequence[CreditRequest], codes: Sequence[CreditResultCode]
) -> set[str]:
    """Store the answers and post the credits; return the keys that were answered before and stay as they are."""
    keys, claim_nos, account_ids, amounts_minor, currencies = zip(*requests, strict=True)
    try:
        rows = await connection.fetch(
            _POST_CREDITS, reference, keys, claim_nos, codes, account_ids, amounts_minor, currencies
        )
    except asyncpg.UniqueViolationError as error:
        raise InvariantViolationError(
            f"The ledger holds a posting that no stored answer knows of, for one of the credits of {reference}: "
            f"{error.detail} Nothing was posted; run: settle audit"
        ) from error
    return {row["idempotency_key"] for row in rows}


async def _fetch_answers(
    connection: Connection, requests: Sequence[CreditRequest], keys: set[str]
) -> dict[str, CreditResultCode]:
    """Answer the requests with these keys from what is stored; the keys are locked, so it can no longer change."""
    columns = zip(*(request for request in requests if request.idempotency_key in keys), strict=True)
    rows = await connection.fetch(_FETCH_ANSWERS, *columns)
    if len(rows) != len(keys):
        raise InvariantViolationError(
            f"{len(keys) - len(rows)} keys were answered before but have no stored answer. Nothing was posted; "
            "run: settle audit"
        )
    return {row["idempotency_key"]: CreditResultCode(row["result_code"]) for row in rows}
