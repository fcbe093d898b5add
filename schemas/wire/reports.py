"""Reports of batches, which are stored for good."""

from datetime import date

from pydantic import AwareDatetime, BaseModel, ConfigDict

from schemas.wire.batches import BatchSource, BatchState
from schemas.wire.totals import ControlTotals


class SinceClosing(BaseModel):
    """What came of a closed batch's exception items; its settled items are final.

    `settled` to `pending` count the orders that came in again, by their latest items. `ledger` counts the credits of
    the orders of all exception items, `unconfirmed` those of them whose latest item is pending or held: they take the
    place of the report's `unconfirmed`. So the report's `settled` and this `ledger` are what the ledger holds of the
    batch's orders. `balanced` holds when ledger = settled + unconfirmed, per currency. `rerun_batch_ids`: the newest
    batches that rerun this one, newest first. `pruned_at`: when the batch began to be pruned; all is as of then.
    """

    model_config = ConfigDict(frozen=True)

    rerun_batch_ids: tuple[str, ...]
    settled: ControlTotals
    rejected: ControlTotals
    failed: ControlTotals
    held: ControlTotals
    pending: ControlTotals
    unconfirmed: ControlTotals
    ledger: ControlTotals
    balanced: bool
    pruned_at: AwareDatetime | None = None


class BatchReport(BaseModel):
    """The balance check of one batch: the numbers that finance signs.

    `ledger` and `unconfirmed` count the orders whose latest item is in this batch. `balanced` holds when
    planned = settled + rejected + failed + held + pending and ledger = settled + unconfirmed, per currency.

    All of a closed batch is as of its closing and never changes. `since_closing` is beside it where one batch's report
    is read; it is None for a batch that is not closed.
    Reports are stored for good: a field that is added needs a default.
    """

    model_config = ConfigDict(frozen=True)

    batch_id: str
    source: BatchSource
    state: BatchState
    business_date: date | None
    rerun_of: str | None
    planned: ControlTotals
    settled: ControlTotals
    rejected: ControlTotals
    failed: ControlTotals
    held: ControlTotals
    pending: ControlTotals
    unconfirmed: ControlTotals
    ledger: ControlTotals
    duplicates: int
    conflicts: int
    balanced: bool
    reasons: dict[str, int]
    chunks: int
    started_at: AwareDatetime | None
    closed_at: AwareDatetime | None
    since_closing: SinceClosing | None = None
