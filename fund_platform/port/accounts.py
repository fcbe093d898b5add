"""Virtual accounts, a part of the Fund Platform's contract."""

from collections.abc import Sequence
from typing import Protocol

from domain import limits
from schemas.ledger import Account, AccountOpening

FUNDING_ACCOUNT_PREFIX = "funding:"


class Accounts(Protocol):
    """Customers' virtual accounts."""

    async def open_accounts(self, openings: Sequence[AccountOpening]) -> None:
        """Open those accounts that do not exist yet, in one transaction; existing ones stay as they are.

        Args:
            openings: at most `limits.LOAD_ROW_COUNT`.

        Raises:
            ValueError: there are too many, or an account id begins like a funding account's.
        """

    async def fetch_account(self, account_id: str) -> Account:
        """Read one account.

        Raises:
            AccountNotFoundError: there is none with this id.
        """

    async def close_account(self, account_id: str) -> Account:
        """Close an account: it takes no more credits. Idempotent.

        Raises:
            AccountNotFoundError: there is none with this id.
        """

    async def reopen_account(self, account_id: str) -> Account:
        """Open a closed account again. Idempotent; refusals already answered stay answered.

        Raises:
            AccountNotFoundError: there is none with this id.
        """


def check_account_openings(openings: Sequence[AccountOpening]) -> None:
    """Refuse what `open_accounts` does not take; every adapter begins with this.

    Raises:
        ValueError: see `Accounts.open_accounts`.
    """
    if len(openings) > limits.LOAD_ROW_COUNT:
        raise ValueError(f"{len(openings)} accounts were to be opened at once; at most {limits.LOAD_ROW_COUNT} can be.")
    for opening in openings:
        if opening.account_id.startswith(FUNDING_ACCOUNT_PREFIX):
            raise ValueError(
                f"Account {opening.account_id} cannot be opened: {FUNDING_ACCOUNT_PREFIX} is for funding accounts."
            )
