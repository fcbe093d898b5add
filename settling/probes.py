"""Trying a chunk's step on a part of it, so that the items whose data make it fail stand alone.

A probe stores nothing in the settlement store. Of credits it really posts those of its part, each under its order's
key: the step that follows is answered `exists` for them.
"""

import logging
from collections.abc import Sequence

from domain.errors import ChunkDataError
from fund_platform.port import FundPlatform
from order_center.port import OrderCenter
from schemas.batches import ChunkState, Item
from schemas.isolation import IsolatedItem, ItemRange
from schemas.ledger import CreditResultCode
from schemas.reasons import Outcome, ReasonCode
from schemas.workflows import ProbeAnswer, ProbeRequest
from settlement_store.port import SettlementStore
from settling.chunks import (
    EXCEPTION_BY_CODE,
    SETTLED_CODES,
    ask_for_credits,
    fetch_totals_of_zombie,
    items_to_judge,
    judge,
)
from settling.data_errors import storable
from settling.turns import CreditTurns

_GOOD = ProbeAnswer(is_bad=False)
_BAD = ProbeAnswer(is_bad=True)

_log = logging.getLogger(__name__)


async def probe_validation(order_center: OrderCenter, store: SettlementStore, request: ProbeRequest) -> ProbeAnswer:
    """Judge a part of a planned chunk; a single bad item fails, since no credit of it was ever requested.

    Has no effect. A chunk that another run has validated meanwhile is good.
    """
    items = items_to_judge(await _fetch_items(store, request, ChunkState.PLANNED))
    try:
        await judge(order_center, request, items, request.items, unknown_order_pauses_s=())
    except ChunkDataError as error:
        if _is_alone(request.items):
            return _stands_alone(request, items[0], error, error.detail, Outcome.FAILED, ReasonCode.DATA_ERROR)
        return _BAD
    return _GOOD


async def probe_credits(
    store: SettlementStore, fund_platform: FundPlatform, turns: CreditTurns, request: ProbeRequest
) -> ProbeAnswer:
    """Have a part of a validated chunk credited; the credit of a single bad item is withdrawn.

    What is credited stays so. A chunk that another run has closed meanwhile is good.

    Raises:
        InvariantViolationError: an item's claim has moved on although the chunk is not closed.
        UnansweredError: the Fund Platform gave no answer; the credits may exist.
        TurnLaterError: a cap on credits makes the chunk wait; nothing was requested.
    """
    items = await _fetch_items(store, request, ChunkState.VALIDATED)
    await turns.take(request, len(items))
    try:
        await ask_for_credits(fund_platform.credits.post_credits, request, items, request.items)
    except ChunkDataError as error:
        if _is_alone(request.items):
            return await _withdraw(store, fund_platform, request, items[0], error)
        return _BAD
    return _GOOD


async def _fetch_items(store: SettlementStore, request: ProbeRequest, state: ChunkState) -> Sequence[Item]:
    """The pending items of the part, if the chunk is in this state; else none."""
    chunk = await store.chunks.fetch_chunk(request.batch_id, request.chunk_index)
    if chunk.state != state:
        return []
    part = chunk._replace(item_start=request.items.item_start, item_end=request.items.item_end)
    return await store.chunks.fetch_pending_items(request.batch_id, part)


async def _withdraw(
    store: SettlementStore, fund_platform: FundPlatform, request: ProbeRequest, item: Item, error: ChunkDataError
) -> ProbeAnswer:
    """Ask for the only certain answer about a credit that cannot be asked for; without one it stays unknown."""
    try:
        codes = await ask_for_credits(fund_platform.credits.withdraw_credits, request, [item], request.items)
    except ChunkDataError as second:
        detail = storable(f"{error.detail}; and its withdrawal: {second.detail}")
        return _stands_alone(request, item, second, detail, Outcome.HELD, ReasonCode.OUTCOME_UNKNOWN)
    code = codes.get(item.item_no, CreditResultCode.CREATED)
    if code == CreditResultCode.SUPERSEDED:
        await fetch_totals_of_zombie(store, request, item)
        return _GOOD
    if code in SETTLED_CODES:
        return _stands_alone(request, item, error, None, Outcome.SETTLED, None)
    return _stands_alone(request, item, error, error.detail, *EXCEPTION_BY_CODE[code])


def _is_alone(items: ItemRange) -> bool:
    return items.item_end - items.item_start == 1


def _stands_alone(
    request: ProbeRequest,
    item: Item,
    error: ChunkDataError,
    detail: str | None,
    outcome: Outcome,
    reason_code: ReasonCode | None,
) -> ProbeAnswer:
    """A single bad item with its outcome; the log has where the error came from."""
    _log.warning(
        "an order's data cannot be processed",
        exc_info=error,
        extra={
            "batch_id": request.batch_id,
            "chunk_index": request.chunk_index,
            "item_no": item.item_no,
            "order_id": item.order_id,
            "outcome": outcome,
            "error": error.detail,
        },
    )
    isolated = IsolatedItem(item_no=item.item_no, outcome=outcome, reason_code=reason_code, detail=detail)
    return ProbeAnswer(is_bad=True, isolated=isolated)
