"""A chunk's two steps at once, as they nearly always succeed."""

from datetime import datetime

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
    cutoff_at: datetime,
    *,
    acknowledges: bool = False,
    is_turn_promised: bool = False,
) -> OutcomeTotals:
    """Validate a chunk's orders, then have those that may be credited credited, and close the chunk. Idempotent.

    Both steps in turn, except that what this attempt has validated it credits without reading it again. An attempt
    that lost the validation to another one, which may have been told another record of an order, reads what is pending.

    Raises:
        ChunkDataError, InvariantViolationError, TurnLaterError, CreditsUnansweredError: as the two steps do.
    """
    validated = await validate_chunk(systems, key, cutoff_at, acknowledges=acknowledges)
    if validated.pending is None:
        return await credit_chunk(systems, turns, key, is_turn_promised=is_turn_promised)
    await turns.take(key.batch_id, len(validated.pending), is_promised=is_turn_promised)
    return await credit_items(systems, key, validated.items, validated.pending, [])
