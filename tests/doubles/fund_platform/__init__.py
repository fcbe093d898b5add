"""The Fund Platform in memory, put together from its parts. What they guarantee stands in `fund_platform.port`.

What it does not hold of the contract:

- Every method runs to its end without awaiting, so none sees another's half. Rivals take turns here: they never wait
  for a lock, meet in a deadlock or read from an old snapshot.
- It is never away, answers always, and takes whatever Python holds: no `UnavailableError`, `UnansweredError` or
  `DataError` comes from it.
- Whoever has its state may change the ledger: no rule makes it append-only.
"""

from tests.doubles.fund_platform.accounts import MemoryAccounts
from tests.doubles.fund_platform.credits import MemoryCredits
from tests.doubles.fund_platform.ledger_state import FundPlatformState
from tests.doubles.fund_platform.proof import MemoryLedgerProof


class MemoryFundPlatform:
    """`FundPlatform` in memory: all parts share one state, which tests may look into and break.

    A test that meddles puts its own part in the place of one, made over the same `state`.
    """

    def __init__(self) -> None:
        self.state = FundPlatformState()
        self.credits = MemoryCredits(self.state)
        self.accounts = MemoryAccounts(self.state)
        self.proof = MemoryLedgerProof(self.state)
