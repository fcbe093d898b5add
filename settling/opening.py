"""Opening manual and scheduled batches."""

from datetime import datetime
from typing import NamedTuple

from domain.batch_openings import BatchSettings, plan_scheduled_opening, required_cutoff, stored_opening
from domain.errors import BatchMismatchError, BatchNotFoundError
from order_center.port import OrderCenter
from schemas.batches import Batch
from schemas.wire.batches import BatchOpening
from settlement_store.port import SettlementStore


class ManualBatch(NamedTuple):
    """The batch that a person asked for.

    `known` is set if the batch existed before. `opening` is None if nothing is overdue.
    """

    opening: BatchOpening | None
    known: Batch | None


async def open_manual_batch(order_center: OrderCenter, store: SettlementStore, opening: BatchOpening) -> ManualBatch:
    """Open a batch over the orders that are overdue at its cutoff, unless there are none. Idempotent.

    If a batch has this id already, it keeps its opening. A new batch is stored before its workflow is started, so
    PostgreSQL has the batch before Temporal does.

    Raises:
        TooManyBatchesError: see `Filling.open_batch`.
    """
    try:
        known = await store.batches.fetch_batch(opening.batch_id)
    except BatchNotFoundError:
        if (await order_center.fetch_overdue_slice(required_cutoff(opening), None, 1)).end is None:
            return ManualBatch(None, None)
        await store.filling.open_batch(opening)
        return ManualBatch(opening, None)
    return ManualBatch(stored_opening(known), known)


async def open_scheduled_batch(
    store: SettlementStore, settings: BatchSettings, batch_id: str, scheduled_at: datetime
) -> BatchOpening:
    """Open the batch of a run of the daily schedule. Idempotent.

    If a batch has this id already, it keeps its opening, even if the settings have changed since an earlier attempt.

    Raises:
        WrongCallError: the id is not a valid batch id.
        TooManyBatchesError: see `Filling.open_batch`.
    """
    opening = plan_scheduled_opening(settings, batch_id, scheduled_at)
    try:
        await store.filling.open_batch(opening)
    except BatchMismatchError:
        return stored_opening(await store.batches.fetch_batch(batch_id))
    return opening
