"""Virtual accounts, a part of the Fund Platform's contract."""

from collections.abc import Sequence
from typing import Protocol

from domain import limits
from schemas.ledger import Account, AccountOpening

FUNDING_ACCOUNT_PREFIX = "funding:"


class Accounts(Protocol):
    """Customers' virtual accounts."""

    async def open_accounts(self, openings: Sequence[AccountOpening]) -> None:
        """Open the accounts that do not exist yet, in one transaction. Existing accounts do not change.

        Args:
            openings: at most `limits.LOAD_ROW_COUNT`.

        Raises:
            ValueError: there are too many, or an account id has the prefix of funding accounts.
        """

    async def fetch_account(self, account_id: str) -> Account:
        """Read one account.

        Raises:
            AccountNotFoundError: no account has this id.
        """

    async def close_account(self, account_id: str) -> Account:
        """Close an account: it accepts no more credits. Idempotent.

        Raises:
            AccountNotFoundError: no account has this id.
        """

    async def reopen_account(self, account_id: str) -> Account:
        """Reopen a closed account. Idempotent. Refusals that were already answered are kept.

        Raises:
            AccountNotFoundError: no account has this id.
        """


def check_account_openings(openings: Sequence[AccountOpening]) -> None:
    """Refuse openings that `open_accounts` does not accept; every adapter calls this first.

    Raises:
        ValueError: see `Accounts.open_accounts`.
    """
    if len(openings) > limits.LOAD_ROW_COUNT:
        raise ValueError(f"Could not open {len(openings)} accounts in one call; the limit is {limits.LOAD_ROW_COUNT}.")
    for opening in openings:
        if opening.account_id.startswith(FUNDING_ACCOUNT_PREFIX):
            raise ValueError(
                f"Account {opening.account_id} was not opened: the prefix {FUNDING_ACCOUNT_PREFIX} is for funding "
                "accounts. Choose another account id."
            )
