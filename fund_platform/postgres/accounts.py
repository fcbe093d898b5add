"""Virtual accounts on PostgreSQL."""

from collections.abc import Sequence

from database.access import Database
from database.pools import Connection
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

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open_accounts(self, openings: Sequence[AccountOpening]) -> None:
        check_account_openings(openings)
        if openings:
            async with self._database.autocommit() as connection:
                await connection.execute(_OPEN_ACCOUNTS, *zip(*openings, strict=True))

    async def fetch_account(self, account_id: str) -> Account:
        async with self._database.reading() as connection:
            return await _fetch_account(connection, _FETCH_ACCOUNT, account_id)

    async def close_account(self, account_id: str) -> Account:
        async with self._database.autocommit() as connection:
            return await _fetch_account(connection, _CLOSE_ACCOUNT, account_id)

    async def reopen_account(self, account_id: str) -> Account:
        async with self._database.autocommit() as connection:
            return await _fetch_account(connection, _REOPEN_ACCOUNT, account_id)


async def _fetch_account(connection: Connection, query: str, account_id: str) -> Account:
    row = await connection.fetchrow(query, account_id)
    if row is None:
        raise AccountNotFoundError(f"The Fund Platform has no account {account_id}. Check its id.")
    return Account(**row)
