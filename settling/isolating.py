"""Probing parts of a chunk to isolate the items whose data make a step fail.

A probe stores nothing in the settlement store. A probe of the crediting step really posts the credits of its part, each
under its order's key. The Fund Platform answers `exists` for them in the step that follows.
"""

import logging
from collections.abc import Sequence
from typing import NamedTuple

from domain.errors import ChunkDataError, NotSupportedError, SettleError
from schemas.chunks import Chunk, ChunkKey, ChunkState
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
    """The result of a probe. `is_bad`: the items' data make the step fail. `isolated`: a single bad item's outcome."""

    is_bad: bool
    isolated: IsolatedItem | None = None


_GOOD = Probe(is_bad=False)
_BAD = Probe(is_bad=True)


async def probe_validation(systems: Systems, key: ChunkKey, items: ItemRange) -> Probe:
    """Judge a part of a planned chunk. This has no effect.

    If the part is a single bad item, its outcome is failed, because no credit was ever requested for it. If another run
    has validated the chunk in the meantime, the probe is good.

    Args:
        systems: the Order Center has the records. The store has the chunk.
        key: the chunk.
        items: the part of the chunk.
    """
    chunk, pending = await _fetch_part(systems.store.chunks, key, items, ChunkState.PLANNED)
    judged = items_to_judge(pending)
    try:
        await judge(systems.order_center, judged, chunk.cutoff_at, items, unknown_order_pauses_s=())
    except ChunkDataError as error:
        if _is_alone(items):
            return _stands_alone(key, judged[0], error, error.detail, Outcome.FAILED, ReasonCode.DATA_ERROR)
        return _BAD
    return _GOOD


async def probe_credits(
    systems: Systems, turns: CreditTurns, key: ChunkKey, items: ItemRange, *, is_turn_promised: bool = False
) -> Probe:
    """Have a part of a validated chunk credited. If the part is a single bad item, withdraw its credit.

    Credits that are posted stay. If another run has closed the chunk in the meantime, the probe is good.

    Args:
        systems: the Fund Platform credits the orders. The store has the chunk.
        turns: turns to send credits under a cap.
        key: the chunk.
        items: the part of the chunk.
        is_turn_promised: whether an earlier `TurnLaterError` promised the chunk a turn for this call.

    Raises:
        InvariantViolationError: a later item holds an item's claim although the chunk is not closed.
        CreditsUnansweredError: the Fund Platform gave no answer. The credits may exist.
        TurnLaterError: a cap on credits makes the chunk wait. Nothing was requested.
    """
    _, pending = await _fetch_part(systems.store.chunks, key, items, ChunkState.VALIDATED)
    await turns.take(key.batch_id, len(pending), is_promised=is_turn_promised)
    try:
        await ask_for_credits(systems.fund_platform.credits.post_credits, key, pending, items)
    except ChunkDataError as error:
        return await _withdraw(systems, key, pending[0], items, error) if _is_alone(items) else _BAD
    return _GOOD


async def _fetch_part(
    chunks: Chunks, key: ChunkKey, items: ItemRange, state: ChunkState
) -> tuple[Chunk, Sequence[Item]]:
    """Return the chunk, and the pending items of the part if the chunk is in this state, otherwise none."""
    chunk = await chunks.fetch_chunk(*key)
    if chunk.state != state:
        return chunk, []
    return chunk, await chunks.fetch_pending_items(key.batch_id, items)


async def _withdraw(systems: Systems, key: ChunkKey, item: Item, items: ItemRange, error: ChunkDataError) -> Probe:
    """Withdraw a credit whose request fails, to get a certain answer. If that fails too, the outcome stays unknown."""
    credits_ = systems.fund_platform.credits
    try:
        codes = await ask_for_credits(credits_.withdraw_credits, key, [item], items)
    except ChunkDataError as second:
        detail = storable(f"{error.detail}; withdrawing the credit failed too: {second.detail}")
        return _stands_alone(key, item, second, detail, Outcome.HELD, ReasonCode.OUTCOME_UNKNOWN)
    except NotSupportedError as refused:
        detail = storable(f"{error.detail}; the Fund Platform cannot withdraw the credit: {refused}")
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
    """Return the probe of a single bad item with its outcome, and log the error with its traceback."""
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
