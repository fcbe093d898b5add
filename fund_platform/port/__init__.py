"""What Settle needs of the Fund Platform. This docstring and those of the methods are the contract.

Every method may be called twice, at the same time, and by a process that was thought dead.

A platform without claim numbers can still stand behind this port if it holds a unique idempotency key: an
order is then credited at most once all the same (`exists`, `exists_with_different_payload`). What is lost is
the stored refusal: a request that was refused, delayed on the wire, and let through after the account was
reopened would be judged anew, so that the credit of a rejected item could come to exist. Audit would name it.
Nothing can be withdrawn there: `withdraw_credits` raises `NotSupportedError`, so that a bad item is held instead of
failed.

Every method may fail as follows, by types of `domain.errors`; an adapter tells its driver's errors by them:

- `DataError`: the platform cannot take these data, or what it holds of them cannot be read. It says which, where it is
  known. It comes again until somebody repairs them; nothing was posted, stored or changed. An answer that cannot be
  read is this only if what it answers is certainly undone.
- `UnavailableError`: the platform could not be reached, or refused for now; certainly nothing was posted, stored or
  changed. All that fails in reading, and is not of the data, is this.
- `UnansweredError`: a method that changes something was cut, or timed out; what was asked may be done. Ask again under
  the same keys.
- `NotSupportedError`: the platform cannot do this at all: `withdraw_credits`, or what `proof` reads.

A `ValueError` that a method names tells of a wrong call. What else a call raises is a bug, and counts as unanswered: it
is never taken for an error of the data. So it is with an answer that is none, for instance a proxy's page in its place.
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
