"""The Finance Center's own store, the guard of every step. This docstring and those of its parts are the contract.

Every method may be called twice, at the same time, and by a process that was thought dead. Each step over a
chunk ends with a compare-and-set of the chunk's state row in the transaction that writes its rows: the loser
writes nothing and gets the stored totals.

Every method may fail as follows, by types of `domain.errors`, besides those that it names; an adapter tells its
driver's errors by them:

- `DataError`: the store cannot take these data, or a row cannot be read. It comes again until somebody repairs them;
  nothing was changed.
- `UnavailableError`: the store could not be reached, or refused for now; certainly nothing was changed. All that fails
  in reading, and is not of the data, is this.
- `UnansweredError`: a method that changes something was cut, or timed out; what was asked may be done. Call again: who
  has won already gets what is stored.

A `ValueError` that a method names tells of a wrong call. What else a call raises is a bug, and counts as unanswered:
it is never taken for an error of the data.
"""

from typing import Protocol

from settlement_store.port.audit import AuditReads
from settlement_store.port.batches import Batches
from settlement_store.port.caps import CreditBuckets
from settlement_store.port.chunks import Chunks
from settlement_store.port.control import Control
from settlement_store.port.filling import Filling
from settlement_store.port.orders import Orders
from settlement_store.port.outbox import Outbox
from settlement_store.port.pruning import Pruning
from settlement_store.port.reports import Reports


class SettlementStore(Protocol):
    """The store, put together from its parts; a part alone is enough for who needs no more."""

    @property
    def batches(self) -> Batches:
        """Batches as a whole."""

    @property
    def filling(self) -> Filling:
        """How a batch comes to its items."""

    @property
    def chunks(self) -> Chunks:
        """Chunks, their items and what became of them."""

    @property
    def control(self) -> Control:
        """What operators ask of batches."""

    @property
    def caps(self) -> CreditBuckets:
        """Turns to send credits under a cap."""

    @property
    def outbox(self) -> Outbox:
        """Outcomes to deliver."""

    @property
    def reports(self) -> Reports:
        """Reports of closed batches."""

    @property
    def pruning(self) -> Pruning:
        """Batches past their retention."""

    @property
    def orders(self) -> Orders:
        """What is read of one order."""

    @property
    def audit(self) -> AuditReads:
        """What the audit reads of all orders."""
