"""Freezing the overdue orders of the Order Center into a batch, slice by slice."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from domain import limits
from domain.batch_openings import required_cutoff
from domain.business_days import BusinessCalendar
from domain.errors import BatchNotOpenError
from order_center.port import OrderCenter
from schemas.batches import BatchOpening, OfferedOrder
from schemas.orders import OverdueCursor
from settlement_store.port import SettlementStore

# An overdue order begins with the payload that is offered.
_OFFER_FIELD_COUNT = len(OfferedOrder._fields)


async def freeze_overdue_orders(
    order_center: OrderCenter,
    store: SettlementStore,
    opening: BatchOpening,
    calendar: BusinessCalendar,
    after: OverdueCursor | None,
    on_slice: Callable[[OverdueCursor], None],
) -> None:
    """Append all overdue orders up to the cutoff to the batch, acknowledge them, then freeze the batch.

    May run again from any cursor, also at the same time: claims keep each order to one live item. An order is
    acknowledged only after the transaction that made its fate durable. An attempt that finds the batch frozen
    acknowledges nothing.

    Args:
        order_center: offers the overdue orders.
        store: holds the batch.
        opening: the batch, opened here if it is not there yet.
        calendar: gives business dates.
        after: where an earlier attempt got to.
        on_slice: told the cursor after each slice that is durable and acknowledged.
    """
    cutoff_at = required_cutoff(opening)
    batch = await store.open_batch(opening)
    room = limits.batch_order_count_max(opening.chunk_size) - batch.item_count
    offered = await _fetch_slice(order_center, cutoff_at, after, room)
    acknowledgeable: list[tuple[str, int]] = []
    try:
        while offered:
            # Three systems work at a time: this slice is appended while the one before is acknowledged and the
            # next one is read.
            room -= len(offered.orders)
            result, following, _ = await asyncio.gather(
                store.append_orders(opening.batch_id, offered.orders),
                _fetch_slice(order_center, cutoff_at, offered.cursor, room),
                order_center.acknowledge(acknowledgeable),
            )
            if after:
                on_slice(after)
            after = offered.cursor
            acknowledgeable = offered.versions
            if unanswered := set(result.unanswered_conflict_order_ids):
                acknowledgeable = [version for version in acknowledgeable if version[0] not in unanswered]
            offered = following
        await order_center.acknowledge(acknowledgeable)
    except BatchNotOpenError:
        return
    await store.freeze_batch(opening.batch_id, calendar)


class _Slice(NamedTuple):
    """Overdue orders as the store and the Order Center take them, made ready while another slice is appended."""

    orders: list[OfferedOrder]
    versions: list[tuple[str, int]]
    cursor: OverdueCursor


async def _fetch_slice(
    order_center: OrderCenter, cutoff_at: datetime, after: OverdueCursor | None, room: int
) -> _Slice | None:
    """The next overdue orders; None if there is none, or no room for it."""
    if room <= 0:
        return None
    overdue = await order_center.fetch_overdue_slice(cutoff_at, after, min(room, limits.FREEZE_SLICE_ORDER_COUNT))
    if not overdue:
        return None
    return _Slice(
        orders=[OfferedOrder._make(order[:_OFFER_FIELD_COUNT]) for order in overdue],
        versions=[(order.order_id, order.version) for order in overdue],
        cursor=OverdueCursor(overdue[-1].after_sale_ends_at, overdue[-1].order_id),
    )
