"""Freezing exception items of an earlier batch into a rerun, slice by slice."""

from collections.abc import Callable, Mapping

from domain import limits
from domain.business_days import BusinessCalendar
from domain.errors import BatchNotOpenError, InvariantViolationError
from domain.order_rules import credit_amount_minor
from order_center.port import OrderCenter
from schemas.batches import BatchOpening, RerunItem, RerunSelection, StoredException
from schemas.orders import TransactionRecord
from schemas.reasons import ReasonCode
from settlement_store.port import SettlementStore

_MAY_BE_CREDITED = frozenset({ReasonCode.OUTCOME_UNKNOWN, ReasonCode.PAYLOAD_CONFLICT})


async def freeze_rerun(
    order_center: OrderCenter,
    store: SettlementStore,
    opening: BatchOpening,
    calendar: BusinessCalendar,
    after_item_no: int,
    on_slice: Callable[[int], None],
) -> None:
    """Append the selected exception items to the batch, acknowledge the records that were read, then freeze it.

    May run again from any place, also at the same time, also while the batch that is rerun still runs: an item is
    taken by compare-and-set, and only if it is still its order's latest. Items that get their outcome after the look
    at their slice are not taken; rerun again for these.

    Args:
        order_center: has the orders' records.
        store: holds both batches.
        opening: the rerun, opened here if it is not there yet.
        calendar: gives business dates.
        after_item_no: where an earlier attempt got to; -1 for the start.
        on_slice: told the last item number of each slice that is durable and acknowledged.

    Raises:
        BatchNotFoundError: the batch that is to be rerun does not exist.
    """
    if opening.rerun is None:
        raise InvariantViolationError(
            f"Batch {opening.batch_id} has no selection of items. This is an error in Settle."
        )
    batch = await store.open_batch(opening)
    room = limits.batch_order_count_max(opening.chunk_size) - batch.item_count
    try:
        while room > 0:
            slice_count_max = min(room, limits.FREEZE_SLICE_ORDER_COUNT)
            exceptions = await store.fetch_exceptions(opening.rerun.batch_id, after_item_no, slice_count_max)
            if not exceptions:
                break
            selected = [exception for exception in exceptions if is_selected(exception, opening.rerun)]
            room -= await _take(order_center, store, opening.batch_id, selected)
            after_item_no = exceptions[-1].item_no
            on_slice(after_item_no)
    except BatchNotOpenError:
        return
    await store.freeze_batch(opening.batch_id, calendar)


def is_selected(exception: StoredException, rerun: RerunSelection) -> bool:
    """Whether a rerun takes this exception item: it is of those asked for, and still its order's latest."""
    return (
        exception.is_latest
        and exception.outcome in rerun.outcomes
        and rerun.reason_code in (None, exception.reason_code)
    )


async def _take(
    order_center: OrderCenter, store: SettlementStore, batch_id: str, exceptions: list[StoredException]
) -> int:
    """Append a slice's selected items; how many were taken."""
    read_afresh = [each.order_id for each in exceptions if each.reason_code != ReasonCode.OUTCOME_UNKNOWN]
    records = {record.order_id: record for record in await order_center.fetch_records(read_afresh)}
    taken = await store.append_rerun_items(batch_id, [_rerun_item(exception, records) for exception in exceptions])
    await order_center.acknowledge([(order_id, records[order_id].version) for order_id in records if order_id in taken])
    return len(taken)


def _rerun_item(exception: StoredException, records: Mapping[str, TransactionRecord]) -> RerunItem:
    """What is frozen now: the payload as the Order Center has it, unless a credit of the frozen one may exist.

    An order with a payload conflict has a credit. Its record may have been repaired to agree with it; if it gives
    nothing that could be credited, the frozen payload is asked for again, and answered as before.
    """
    record = records.get(exception.order_id)
    may_be_credited = exception.reason_code in _MAY_BE_CREDITED
    if record is None or (may_be_credited and credit_amount_minor(record) <= 0):
        payload = (exception.account_id, exception.amount_minor, exception.currency)
    else:
        payload = (record.account_id, credit_amount_minor(record), record.currency)
    return RerunItem(exception.order_id, exception.claim_no, *payload, inherits_unknown=may_be_credited)
