"""Virtual accounts in memory."""

from collections.abc import Sequence
from datetime import UTC, datetime

from domain.errors import AccountNotFoundError
from fund_platform.port.accounts import check_account_openings
from schemas.ledger import Account, AccountOpening
from tests.doubles.fund_platform.ledger_state import FundPlatformState


class MemoryAccounts:
    """`Accounts` in memory."""

    def __init__(self, state: FundPlatformState) -> None:
        self.state = state

    async def open_accounts(self, openings: Sequence[AccountOpening]) -> None:
        check_account_openings(openings)
        for account_id, currency in openings:
            account = Account(account_id=account_id, currency=currency, balance_minor=0, closed_at=None)
            self.state.account_by_id.setdefault(account_id, account)

    async def fetch_account(self, account_id: str) -> Account:
        if account_id not in self.state.account_by_id:
            raise AccountNotFoundError(f"The Fund Platform has no account {account_id}. Check its id.")
        return self.state.account_by_id[account_id]

    async def close_account(self, account_id: str) -> Account:
        account = await self.fetch_account(account_id)
        return self.state.set_account(account, closed_at=account.closed_at or datetime.now(UTC))

    async def reopen_account(self, account_id: str) -> Account:
        return self.state.set_account(await self.fetch_account(account_id), closed_at=None)
