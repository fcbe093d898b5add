"""The settlement store in memory, put together from its parts. What they guarantee stands in `settlement_store.port`.

What it does not hold of the contract:

- Every method runs to its end without awaiting, so none sees another's half. Rivals take turns here: they never wait
  for a lock, meet in a deadlock or read from an old snapshot.
- Everything is told from the items, and nothing is stored twice. So nothing can contradict anything else, and
  `fetch_store_breaks` has nothing to look for; nor is an item ever missing that a claim names.
- Items that are pruned stay where they are, behind a mark that the reads of live items do not pass.
- It is never away, answers always, and takes whatever Python holds: no `UnavailableError`, `UnansweredError` or
  `DataError` comes from it.
- No read has an index, nor a bound on what it touches.

`tests.contract.adapters.not_in_memory` marks the tests of the contract that it cannot pass for that.
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

    A test that meddles puts its own part in the place of one, made over the same `state`.
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
