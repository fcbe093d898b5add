"""Trying a chunk's step on a part of it, so that the items whose data make it fail stand alone.

A probe stores nothing in the settlement store. Of credits it really posts those of its part, each under its order's
key: the step that follows is answered `exists` for them.
"""

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from domain.errors import ChunkDataError, NotSupportedError, SettleError
from schemas.chunks import ChunkKey, ChunkState
from schemas.items import Item
from schemas.ledger import CreditResultCode
from schemas.wire.isolation import IsolatedItem, ItemRange
from schemas.wire.reasons import Outcome, ReasonCode
from settlement_store.port.chunks import Chunks
from settling.crediting import EXCEPTION_BY_CODE, SETTLED_CODES, ask_for_credits, fetch_totals_of_zombie
from settling.failures import storable
from settling.systems import Systems
from settling.turns import CreditTurns
from settling.validating import items_to_judge, judge

_log = logging.getLogger(__name__)


class Probe(NamedTuple):
    """Whether a step fails over the items that were probed, because of their data; a single bad item's outcome."""

    is_bad: bool
    isolated: IsolatedItem | None = None


_GOOD = Probe(is_bad=False)
_BAD = Probe(is_bad=True)


async def probe_validation(systems: Systems, key: ChunkKey, items: ItemRange, cutoff_at: datetime) -> Probe:
    """Judge a part of a planned chunk; a single bad item fails, since no credit of it was ever requested.

    Has no effect. A chunk that another run has validated meanwhile is good.

    Args:
        systems: the Order Center has the records, the store the chunk.
        key: the chunk.
        items: the part of it.
        cutoff_at: as for `validate_chunk`.
    """
    pending = items_to_judge(await _fetch_pending(systems.store.chunks, key, items, ChunkState.PLANNED))
    try:
        await judge(systems.order_center, pending, cutoff_at, items, unknown_order_pauses_s=())
    except ChunkDataError as error:
        if _is_alone(items):
            return _stands_alone(key, pending[0], error, error.detail, Outcome.FAILED, ReasonCode.DATA_ERROR)
        return _BAD
    return _GOOD


async def probe_credits(
    systems: Systems, turns: CreditTurns, key: ChunkKey, items: ItemRange, *, is_turn_promised: bool = False
) -> Probe:
    """Have a part of a validated chunk credited; the credit of a single bad item is withdrawn.

    What is credited stays so. A chunk that another run has closed meanwhile is good.

    Args:
        systems: the Fund Platform credits, the store has the chunk.
        turns: turns to send credits under a cap.
        key: the chunk.
        items: the part of it.
        is_turn_promised: whether the chunk was told to ask now for its turn.

    Raises:
        InvariantViolationError: an item's claim has moved on although the chunk is not closed.
        CreditsUnansweredError: the Fund Platform gave no answer; the credits may exist.
        TurnLaterError: a cap on credits makes the chunk wait; nothing was requested.
    """
    pending = await _fetch_pending(systems.store.chunks, key, items, ChunkState.VALIDATED)
    await turns.take(key.batch_id, len(pending), is_promised=is_turn_promised)
    try:
        await ask_for_credits(systems.fund_platform.credits.post_credits, key, pending, items)
    except ChunkDataError as error:
        return await _withdraw(systems, key, pending[0], items, error) if _is_alone(items) else _BAD
    return _GOOD


async def _fetch_pending(chunks: Chunks, key: ChunkKey, items: ItemRange, state: ChunkState) -> Sequence[Item]:
    """The pending items of the part, if the chunk is in this state; else none."""
    chunk = await chunks.fetch_chunk(*key)
    if chunk.state != state:
        return []
    part = chunk._replace(item_start=items.item_start, item_end=items.item_end)
    return await chunks.fetch_pending_items(key.batch_id, part)


async def _withdraw(systems: Systems, key: ChunkKey, item: Item, items: ItemRange, error: ChunkDataError) -> Probe:
    """Ask for the only certain answer about a credit that cannot be asked for; without one it stays unknown."""
    credits_ = systems.fund_platform.credits
    try:
        codes = await ask_for_credits(credits_.withdraw_credits, key, [item], items)
    except ChunkDataError as second:
        detail = storable(f"{error.detail}; and its withdrawal: {second.detail}")
        return _stands_alone(key, item, second, detail, Outcome.HELD, ReasonCode.OUTCOME_UNKNOWN)
    except NotSupportedError as refused:
        detail = storable(f"{error.detail}; and the Fund Platform cannot withdraw it: {refused}")
        return _stands_alone(key, item, error, detail, Outcome.HELD, ReasonCode.OUTCOME_UNKNOWN)
    code = codes.get(item.item_no, CreditResultCode.CREATED)
    if code == CreditResultCode.SUPERSEDED:
        await fetch_totals_of_zombie(systems.store.chunks, key, item)
        return _GOOD
    if code in SETTLED_CODES:
        return _stands_alone(key, item, error, None, Outcome.SETTLED, None)
    return _stands_alone(key, item, error, error.detail, *EXCEPTION_BY_CODE[code])


def _is_alone(items: ItemRange) -> bool:
    return items.item_end - items.item_start == 1


def _stands_alone(
    key: ChunkKey,
    item: Item,
    error: SettleError,
    detail: str | None,
    outcome: Outcome,
    reason_code: ReasonCode | None,
) -> Probe:
    """A single bad item with its outcome; the log has where the error came from."""
    _log.warning(
        "an order's data cannot be processed",
        exc_info=error,
        extra={
            "batch_id": key.batch_id,
            "chunk_index": key.chunk_index,
            "item_no": item.item_no,
            "order_id": item.order_id,
            "outcome": outcome,
            "error": str(error),
        },
    )
    isolated = IsolatedItem(item_no=item.item_no, outcome=outcome, reason_code=reason_code, detail=detail)
    return Probe(is_bad=True, isolated=isolated)
