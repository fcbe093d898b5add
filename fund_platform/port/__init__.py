"""What Settle needs of the Fund Platform. This docstring and those of the methods are the contract.

Every method may be called twice, at the same time, and by a process that was thought dead.

A platform without claim numbers can still stand behind this port if it holds a unique idempotency key: an
order is then credited at most once all the same (`exists`, `exists_with_different_payload`). What is lost is
the stored refusal: a request that was refused, delayed on the wire, and let through after the account was
reopened would be judged anew, so that the credit of a rejected item could come to exist. Audit would name it.
Nothing can be withdrawn there: `withdraw_credits` should raise, so that a bad item is held instead of failed.
"""

from typing import Protocol

from fund_platform.port.accounts import Accounts
from fund_platform.port.credits import Credits
from fund_platform.port.proof import LedgerProof


class FundPlatform(Protocol):
    """Virtual accounts, credited at most once per idempotency key."""

    @property
    def credits(self) -> Credits:
        """Posting, withdrawing and looking up credits."""

    @property
    def accounts(self) -> Accounts:
        """Customers' virtual accounts."""

    @property
    def proof(self) -> LedgerProof | None:
        """The ledger, read as a whole; None if the platform offers no such proof."""
