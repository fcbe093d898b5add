"""Both steps of a chunk in one call. They nearly always succeed."""

from schemas.chunks import ChunkKey
from schemas.wire.totals import OutcomeTotals
from settling.crediting import credit_chunk, credit_items
from settling.systems import Systems
from settling.turns import CreditTurns
from settling.validating import validate_chunk


async def settle_chunk(
    systems: Systems,
    turns: CreditTurns,
    key: ChunkKey,
    *,
    is_turn_promised: bool = False,
) -> OutcomeTotals:
    """Validate a chunk's orders, have the Fund Platform credit the valid ones, and close the chunk. Idempotent.

    If this attempt stored the validation, it credits the items that it has in memory. Otherwise it reads the pending
    items from the store, because the attempt that stored the validation may have judged other versions of the records.

    Raises:
        ChunkDataError, InvariantViolationError, TurnLaterError, CreditsUnansweredError: see `validate_chunk` and
            `credit_chunk`.
    """
    validated = await validate_chunk(systems, key)
    if validated.pending is None:
        return await credit_chunk(systems, turns, key, is_turn_promised=is_turn_promised)
    await turns.take(key.batch_id, len(validated.pending), is_promised=is_turn_promised)
    return await credit_items(systems, key, validated.items, validated.pending, [])
