"""Holding the remaining chunks of an aborted batch."""

from collections.abc import Callable

from domain import limits
from schemas.wire.totals import OutcomeTotals
from settlement_store.port.chunks import Chunks


async def hold_remaining_chunks(
    chunks: Chunks, batch_id: str, detail: str, on_slice: Callable[[], None]
) -> OutcomeTotals:
    """Hold all chunks of a batch that are not closed, each in its own transaction.

    Idempotent and safe to run concurrently. A chunk that is closed in the meantime stays unchanged.

    Args:
        chunks: the settlement store's chunks.
        batch_id: the batch.
        detail: the reason, for people to read.
        on_slice: called after each slice of chunks.

    Returns:
        The control totals of the whole batch.
    """
    chunk_index = -1
    while unclosed := await chunks.fetch_unclosed_chunks(batch_id, chunk_index, limits.HOLD_SLICE_CHUNK_COUNT):
        for chunk_index in unclosed:
            await chunks.hold_chunk(batch_id, chunk_index, detail)
        on_slice()
    return await chunks.fetch_outcome_totals(batch_id)
