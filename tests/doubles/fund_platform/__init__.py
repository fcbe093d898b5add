"""The Fund Platform in memory, assembled from its parts.

It does not fulfil these parts of the contract:

- Every method runs to its end without awaiting, so no method sees another's half-done work. Rivals take turns: they
  never wait for a lock, deadlock or read from an old snapshot.
- It is always reachable, always answers, and accepts every value that Python can hold. It raises no
  `UnavailableError`, `UnansweredError` or `DataError`.
- The ledger is not append-only: any code with access to the state can change it.
"""

from tests.doubles.fund_platform.accounts import MemoryAccounts
from tests.doubles.fund_platform.credits import MemoryCredits
from tests.doubles.fund_platform.ledger_state import FundPlatformState
from tests.doubles.fund_platform.proof import MemoryLedgerProof


class MemoryFundPlatform:
    """`FundPlatform` in memory: all parts share one state, which tests may read and corrupt.

    A test can replace a part by its own, made over the same `state`.
    """

    def __init__(self) -> None:
        self.state = FundPlatformState()
        self.credits = MemoryCredits(self.state)
        self.accounts = MemoryAccounts(self.state)
        self.proof = MemoryLedgerProof(self.state)
