"""The port of the Fund Platform. This docstring and those of its parts are the contract.

Every method may be called twice, concurrently, and by a process that was presumed dead.

A platform without claim numbers can implement this port if it enforces a unique idempotency key. An order is then still
credited at most once (`exists`, `exists_with_different_payload`), but refusals are not stored. If a request is refused,
delayed on the network, and arrives again after the account was reopened, the platform judges it anew and may credit a
rejected item; an audit would report that. Such a platform cannot withdraw credits either: `withdraw_credits` raises
`NotSupportedError`, and a bad item is held instead of failed.

Besides the errors that it names, every method may raise the following errors of `domain.errors`. An adapter translates
its driver's errors into them:

- `DataError`: the platform cannot accept these data, or cannot read the data that it has stored for them. The message
  names the data if they are known. Nothing was posted, stored or changed. The call fails again until somebody repairs
  the data. An unreadable answer raises this only if the call certainly had no effect.
- `UnavailableError`: the platform is unreachable, or refused the call for now. Nothing was posted, stored or changed.
  Every failed read that is not a data error raises this.
- `UnansweredError`: a method that changes something was cut off or timed out. The change may have been made. Call the
  method again with the same keys.
- `NotSupportedError`: the platform does not support `withdraw_credits`, or the methods of `proof`.

A `ValueError` that a method names reports a wrong call. Any other exception is a bug. Callers treat it as unanswered,
never as a data error. The same applies to a response that is not an answer, for instance a proxy's error page.
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
        """Reads and checks of the whole ledger; None if the platform offers no such proof."""
