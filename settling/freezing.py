"""Freezing the overdue orders of the Order Center into a batch, slice by slice."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from domain import limits
from domain.batch_openings import required_cutoff
from domain.business_days import BusinessCalendar
from domain.errors import BatchNotOpenError
from order_center.port import OrderCenter
from schemas.items import OfferedOrder
from schemas.orders import OverdueCursor, OverdueOrder, RecordVersion
from schemas.tables import Table, columns_of
from schemas.wire.batches import BatchOpening
from settling.side_by_side import run_side_by_side
from settling.systems import Systems


async def freeze_overdue_orders(
    systems: Systems,
    opening: BatchOpening,
    calendar: BusinessCalendar,
    after: OverdueCursor | None,
    on_slice: Callable[[OverdueCursor], None],
) -> None:
    """Append all overdue orders before the cutoff to the batch, acknowledge them, then freeze the batch.

    It may run again from any cursor, even concurrently: claims allow each order only one live item. It acknowledges an
    order only after the transaction that appended it or counted it as a duplicate or conflict. It does not acknowledge
    a conflict with an item that has no outcome yet, so the Order Center offers that order again. An attempt that finds
    the batch frozen acknowledges nothing.

    Each slice is read, appended and acknowledged. Several slices are processed concurrently to keep both systems busy.
    Slices that an attempt leaves unfinished are offered again to the next attempt.

    Args:
        systems: the Order Center offers the overdue orders. The store holds the batch.
        opening: the batch. It is opened here if it does not exist yet.
        calendar: gives business dates.
        after: the last cursor of an earlier attempt.
        on_slice: called with a slice's cursor once that slice and all earlier ones are durable and acknowledged.
    """
    order_center, filling = systems.order_center, systems.store.filling
    batch = await filling.open_batch(opening)
    room = limits.batch_order_count_max(opening.chunk_size) - batch.item_count
    slices = _OverdueSlices(order_center, required_cutoff(opening), after, room)

    async def take_slices() -> None:
        while offered := await slices.fetch_next():
            result = await filling.append_orders(opening.batch_id, offered.orders)
            await order_center.acknowledge(_without(offered.versions, result.unanswered_conflict_order_ids))
            for cursor in slices.take(offered.cursor):
                on_slice(cursor)

    try:
        await run_side_by_side([take_slices] * limits.FREEZE_SLICES_AT_A_TIME)
    except BatchNotOpenError:
        return
    await filling.freeze_batch(opening.batch_id, calendar)


class _Slice(NamedTuple):
    """A slice of overdue orders: `orders` to append to the batch, `versions` to acknowledge, and its last cursor."""

    orders: Sequence[OfferedOrder]
    versions: Sequence[RecordVersion]
    cursor: OverdueCursor


class _OverdueSlices:
    """The overdue orders, slice by slice, for several concurrent consumers."""

    def __init__(self, order_center: OrderCenter, cutoff_at: datetime, after: OverdueCursor | None, room: int) -> None:
        self._order_center = order_center
        self._cutoff_at = cutoff_at
        self._after = after
        self._room = room
        self._reading = asyncio.Lock()
        self._in_hand: deque[OverdueCursor] = deque()
        self._taken: set[OverdueCursor] = set()

    async def fetch_next(self) -> _Slice | None:
        """Return the next overdue orders, or None if there are none or the batch has no room."""
        async with self._reading:
            if self._room <= 0:
                return None
            count_max = min(self._room, limits.FREEZE_SLICE_ORDER_COUNT)
            overdue, end = await self._order_center.fetch_overdue_slice(self._cutoff_at, self._after, count_max)
            if end is None:
                self._room = 0
                return None
            self._after = end
            self._in_hand.append(end)
            self._room -= len(overdue)
        order_ids, account_ids, amounts_minor, currencies, versions = columns_of(OverdueOrder, overdue)
        return _Slice(
            orders=Table(OfferedOrder, (order_ids, account_ids, amounts_minor, currencies)),
            versions=Table(RecordVersion, (order_ids, versions)),
            cursor=end,
        )

    def take(self, cursor: OverdueCursor) -> Iterator[OverdueCursor]:
        """Mark a slice as durable and acknowledged. Yield each new cursor that no unmarked slice precedes."""
        self._taken.add(cursor)
        while self._in_hand and self._in_hand[0] in self._taken:
            self._taken.remove(self._in_hand[0])
            yield self._in_hand.popleft()


def _without(versions: Sequence[RecordVersion], order_ids: Sequence[str]) -> Sequence[RecordVersion]:
    left_out = set(order_ids)
    return [version for version in versions if version.order_id not in left_out] if left_out else versions
