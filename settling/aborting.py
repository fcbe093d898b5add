"""Holding the remaining chunks of an aborted batch."""

from collections.abc import Callable

from domain import limits
from domain.errors import InvariantViolationError
from schemas.wire.totals import OutcomeTotals
from settlement_store.port import SettlementStore


async def hold_remaining_chunks(
    store: SettlementStore, batch_id: str, detail: str, on_slice: Callable[[], None]
) -> OutcomeTotals:
    """Hold all chunks of an aborted batch that are not closed, each in its own transaction.

    Idempotent and safe to run concurrently. A chunk that is closed in the meantime stays unchanged.

    Args:
        store: the batch's store.
        batch_id: the batch. The store must have its abort, which cannot be taken back.
        detail: the reason, for people to read.
        on_slice: called after each slice of chunks.

    Returns:
        The control totals of the whole batch.

    Raises:
        BatchNotFoundError: no batch has this id.
        InvariantViolationError: the store has no abort of the batch. Nothing was held.
    """
    if not (await store.control.fetch_control(batch_id)).is_aborting:
        raise InvariantViolationError(
            f"Could not hold the remaining chunks of batch {batch_id}: nobody has aborted it. Nothing was held. "
            "Look at the batch's workflow in the Temporal web UI."
        )
    chunks = store.chunks
    chunk_index = -1
    while unclosed := await chunks.fetch_unclosed_chunks(batch_id, chunk_index, limits.HOLD_SLICE_CHUNK_COUNT):
        for chunk_index in unclosed:
            await chunks.hold_chunk(batch_id, chunk_index, detail)
        on_slice()
    return await chunks.fetch_outcome_totals(batch_id)
