"""Virtual accounts on PostgreSQL. What the methods guarantee stands in `fund_platform.port`."""

from collections.abc import Sequence

from database.pools import Pool
from database.queries import load_query
from domain.errors import AccountNotFoundError
from fund_platform.port.accounts import check_account_openings
from schemas.ledger import Account, AccountOpening

_OPEN_ACCOUNTS = load_query("fund_platform.postgres", "open_accounts")
_FETCH_ACCOUNT = load_query("fund_platform.postgres", "fetch_account")
_CLOSE_ACCOUNT = load_query("fund_platform.postgres", "close_account")
_REOPEN_ACCOUNT = load_query("fund_platform.postgres", "reopen_account")


class PostgresAccounts:
    """`Accounts` on PostgreSQL."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def open_accounts(self, openings: Sequence[AccountOpening]) -> None:
        """See the port."""
        check_account_openings(openings)
        if openings:
            await self._pool.execute(_OPEN_ACCOUNTS, *zip(*openings, strict=True))

    async def fetch_account(self, account_id: str) -> Account:
        """See the port."""
        return await self._fetch_account(_FETCH_ACCOUNT, account_id)

    async def close_account(self, account_id: str) -> Account:
        """See the port."""
        return await self._fetch_account(_CLOSE_ACCOUNT, account_id)

    async def reopen_account(self, account_id: str) -> Account:
        """See the port."""
        return await self._fetch_account(_REOPEN_ACCOUNT, account_id)

    async def _fetch_account(self, query: str, account_id: str) -> Account:
        row = await self._pool.fetchrow(query, account_id)
        if row is None:
            raise AccountNotFoundError(f"The Fund Platform has no account {account_id}. Check its id.")
        return Account(**row)
