"""The rest of a batch that is aborted."""

from collections.abc import Callable

from domain import limits
from schemas.batches import OutcomeTotals
from schemas.workflows import HoldRemainingRequest
from settlement_store.port import SettlementStore


async def hold_remaining_chunks(
    store: SettlementStore, request: HoldRemainingRequest, on_slice: Callable[[], None]
) -> OutcomeTotals:
    """Hold all chunks of a batch that are not closed, each in a transaction of its own.

    May run again, also at the same time: a chunk that is closed meanwhile stays as it is.

    Args:
        store: holds the batch.
        request: the batch, and why.
        on_slice: called after each slice of chunks.

    Returns:
        The control totals of the whole batch.
    """
    chunk_index = -1
    while chunks := await store.chunks.fetch_unclosed_chunks(
        request.batch_id, chunk_index, limits.HOLD_SLICE_CHUNK_COUNT
    ):
        for chunk_index in chunks:
            await store.chunks.hold_chunk(request.batch_id, chunk_index, request.detail)
        on_slice()
    return await store.chunks.fetch_outcome_totals(request.batch_id)
