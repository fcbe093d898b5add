"""Freezing the overdue orders of the Order Center into a batch, slice by slice."""

from collections.abc import Callable, Sequence

from domain import limits
from domain.errors import BatchNotOpenError
from order_center.port import OrderCenter
from schemas.batches import BatchOpening, OfferedOrder
from schemas.orders import OverdueCursor, OverdueOrder
from settlement_store.port import SettlementStore


async def freeze_overdue_orders(
    order_center: OrderCenter,
    store: SettlementStore,
    opening: BatchOpening,
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
        after: where an earlier attempt got to.
        on_slice: told the cursor after each durable slice.
    """
    batch = await store.open_batch(opening)
    room = limits.batch_order_count_max(opening.chunk_size) - batch.item_count
    try:
        while room > 0:
            offered = await order_center.fetch_overdue_slice(
                opening.cutoff_at, after, min(room, limits.FREEZE_SLICE_ORDER_COUNT)
            )
            if not offered:
                break
            room -= await _append(order_center, store, opening.batch_id, offered)
            after = OverdueCursor(offered[-1].after_sale_ends_at, offered[-1].order_id)
            on_slice(after)
    except BatchNotOpenError:
        return
    await store.freeze_batch(opening.batch_id)


async def _append(
    order_center: OrderCenter, store: SettlementStore, batch_id: str, offered: Sequence[OverdueOrder]
) -> int:
    result = await store.append_orders(
        batch_id,
        [OfferedOrder(order.order_id, order.account_id, order.amount_minor, order.currency) for order in offered],
    )
    unanswered = set(result.unanswered_conflict_order_ids)
    await order_center.acknowledge(
        [(order.order_id, order.version) for order in offered if order.order_id not in unanswered]
    )
    return result.claimed_count
