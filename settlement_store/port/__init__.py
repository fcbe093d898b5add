"""The port of the Finance Center's own store. This docstring and those of its parts are the contract.

Every method may be called twice, concurrently, and by a process that was presumed dead. Each step over a chunk ends
with a compare-and-set of the chunk's state row, in the transaction that writes the step's rows. The loser writes
nothing and gets the stored totals.

Besides the errors that it names, every method may raise the following errors of `domain.errors`. An adapter translates
its driver's errors into them:

- `DataError`: the store cannot accept these data, or cannot read a row. Nothing was changed. The call fails again until
  somebody repairs the data.
- `UnavailableError`: the store is unreachable, or refused the call for now. Nothing was changed. Every failed read that
  is not a data error raises this.
- `UnansweredError`: a method that changes something was cut off or timed out. The change may have been made. Call the
  method again: a caller that has already won gets what is stored.

A `ValueError` that a method names reports a wrong call. Any other exception is a bug. Callers treat it as unanswered,
never as a data error.
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
    """The whole store. A caller that needs only one part takes only that part."""

    @property
    def batches(self) -> Batches:
        """Batches as a whole."""

    @property
    def filling(self) -> Filling:
        """Opening, filling and freezing batches."""

    @property
    def chunks(self) -> Chunks:
        """Chunks, their items and their outcomes."""

    @property
    def control(self) -> Control:
        """Operator control of batches."""

    @property
    def caps(self) -> CreditBuckets:
        """Turns to send credits under a cap."""

    @property
    def outbox(self) -> Outbox:
        """Outcomes to deliver to Kafka."""

    @property
    def reports(self) -> Reports:
        """Reports of closed batches."""

    @property
    def pruning(self) -> Pruning:
        """Batches past their retention."""

    @property
    def orders(self) -> Orders:
        """One order's items and conflicting offers."""

    @property
    def audit(self) -> AuditReads:
        """The audit's reads and checks."""
