"""The settlement store in memory, assembled from its parts.

It does not fulfil these parts of the contract:

- Every method runs to its end without awaiting, so no method sees another's half-done work. Rivals take turns: they
  never wait for a lock, deadlock or read from an old snapshot.
- Everything is derived from the items, and nothing is stored twice. Nothing can contradict anything else, so
  `fetch_store_breaks` returns no breaks. The item that a claim names is never missing.
- Pruned items stay where they are, below a mark that reads of live items skip.
- It is always reachable, always answers, and accepts every value that Python can hold. It raises no
  `UnavailableError`, `UnansweredError` or `DataError`.
- No read uses an index or has a bound on the rows that it reads.

`tests.contract.adapters.not_in_memory` marks the contract tests that it therefore cannot pass.
"""

from tests.doubles.settlement_store.audit import MemoryAuditReads
from tests.doubles.settlement_store.batches import MemoryBatches
from tests.doubles.settlement_store.caps import MemoryCreditBuckets
from tests.doubles.settlement_store.chunks import MemoryChunks
from tests.doubles.settlement_store.control import MemoryControl
from tests.doubles.settlement_store.filling import MemoryFilling
from tests.doubles.settlement_store.order_reads import MemoryOrders
from tests.doubles.settlement_store.outbox import MemoryOutbox
from tests.doubles.settlement_store.pruning import MemoryPruning
from tests.doubles.settlement_store.reports import MemoryReports
from tests.doubles.settlement_store.store_state import StoreState


class MemorySettlementStore:
    """`SettlementStore` in memory: all parts share one state.

    A test can replace a part by its own, made over the same `state`.
    """

    def __init__(self) -> None:
        self.state = StoreState()
        self.batches = MemoryBatches(self.state)
        self.filling = MemoryFilling(self.state)
        self.chunks = MemoryChunks(self.state)
        self.control = MemoryControl(self.state)
        self.caps = MemoryCreditBuckets(self.state)
        self.outbox = MemoryOutbox(self.state)
        self.reports = MemoryReports(self.state)
        self.pruning = MemoryPruning(self.state)
        self.orders = MemoryOrders(self.state)
        self.audit = MemoryAuditReads(self.state)
