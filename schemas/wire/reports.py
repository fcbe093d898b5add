"""Reports of batches, which are stored permanently."""

from datetime import date

from pydantic import AwareDatetime, BaseModel, ConfigDict

from schemas.wire.batches import BatchSource, BatchState
from schemas.wire.totals import ControlTotals


class SinceClosing(BaseModel):
    """What became of a closed batch's exception items since its closing. Its settled items are final.

    `settled` to `pending` count the orders that came in again, by their latest items. `ledger` counts the credits of
    the orders of all exception items. `unconfirmed` counts those of them whose latest item is pending or held, and
    replaces the report's `unconfirmed`. The report's `settled` and this `ledger` together are all credits of the
    batch's orders in the ledger. `balanced` means that ledger = settled + unconfirmed, per currency. `rerun_batch_ids`
    are the newest batches that rerun this one, newest first. If `pruned_at` is set, pruning began then, and all values
    are as of then.
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
    """The balance check of one batch, with the numbers that finance signs.

    `ledger` and `unconfirmed` count the orders whose latest item is in this batch. `balanced` means that planned =
    settled + rejected + failed + held + pending and ledger = settled + unconfirmed, per currency.

    The report of a closed batch is as of its closing and never changes. `since_closing` is added only when the report
    of a single batch is read, and is None for an unclosed batch. Reports are stored permanently, so a new field needs a
    default.
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
