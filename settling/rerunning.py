"""Freezing the exception items of an earlier batch into a rerun, slice by slice."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

from domain import limits
from domain.business_days import BusinessCalendar
from domain.errors import BatchNotOpenError, DataError, InvariantViolationError
from domain.order_payloads import payload_of
from domain.order_rules import due_minor_of
from order_center.port import OrderCenter
from schemas.batches import Batch
from schemas.items import RerunItem, StoredException
from schemas.order_payloads import Payload
from schemas.orders import FetchedRecord, RecordVersion
from schemas.wire.batches import BatchOpening, RerunSelection
from schemas.wire.reasons import ReasonCode
from settlement_store.port.filling import Filling
from settling.systems import Systems

_MAY_BE_CREDITED = frozenset({ReasonCode.OUTCOME_UNKNOWN, ReasonCode.PAYLOAD_CONFLICT})


class SelectedCounts(NamedTuple):
    """The counts of selected items that are still their orders' latest, and of those whose orders have a later item."""

    latest_count: int
    overtaken_count: int


async def count_selected(filling: Filling, rerun: RerunSelection) -> SelectedCounts:
    """Count the exception items that a rerun would take now. Reads only.

    Raises:
        BatchNotFoundError: the batch does not exist.
    """
    latest_count = asked_for_count = 0
    after_item_no = -1
    while exceptions := await filling.fetch_exceptions(rerun.batch_id, after_item_no, limits.FREEZE_SLICE_ORDER_COUNT):
        latest_count += sum(is_selected(each, rerun) for each in exceptions)
        asked_for_count += sum(is_selected(each._replace(is_latest=True), rerun) for each in exceptions)
        after_item_no = exceptions[-1].item_no
    return SelectedCounts(latest_count, asked_for_count - latest_count)


async def freeze_rerun(
    systems: Systems,
    opening: BatchOpening,
    calendar: BusinessCalendar,
    after_item_no: int,
    on_slice: Callable[[int], None],
) -> None:
    """Append the selected exception items to the batch, acknowledge the records that were taken, then freeze it.

    It may run again from any position, concurrently, and while the earlier batch still runs: an item is taken by
    compare-and-set, and only if it is still its order's latest. An item that gets its outcome after its slice was read
    is not taken. A further rerun can take it.

    Args:
        systems: the Order Center has the orders' records. The store holds both batches.
        opening: the rerun. It is opened here if it does not exist yet.
        calendar: gives business dates.
        after_item_no: the last item number of an earlier attempt, or -1 to start from the beginning.
        on_slice: called with the last item number of each slice once it is durable and acknowledged.

    Raises:
        BatchNotFoundError: the batch to rerun does not exist.
    """
    if opening.rerun is None:
        raise InvariantViolationError(
            f"Batch {opening.batch_id} cannot be frozen as a rerun: it selects no items. Nothing was changed. This is "
            "a bug in Settle."
        )
    filling = systems.store.filling
    batch = await filling.open_batch(opening)
    room = limits.batch_order_count_max(opening.chunk_size) - batch.item_count
    try:
        while room > 0:
            slice_count_max = min(room, limits.FREEZE_SLICE_ORDER_COUNT)
            exceptions = await filling.fetch_exceptions(opening.rerun.batch_id, after_item_no, slice_count_max)
            if not exceptions:
                break
            selected = [exception for exception in exceptions if is_selected(exception, opening.rerun)]
            room -= await _take(systems, batch, selected)
            after_item_no = exceptions[-1].item_no
            on_slice(after_item_no)
    except BatchNotOpenError:
        return
    await filling.freeze_batch(opening.batch_id, calendar)


def is_selected(exception: StoredException, rerun: RerunSelection) -> bool:
    """Return whether a rerun takes this exception item: it matches the selection and is still its order's latest."""
    return (
        exception.is_latest
        and exception.outcome in rerun.outcomes
        and rerun.reason_code in (None, exception.reason_code)
    )


async def _take(systems: Systems, batch: Batch, exceptions: list[StoredException]) -> int:
    """Append a slice's selected items and return how many were taken.

    An item whose outcome is unknown keeps its payload, because its credit may exist. The records of the other orders
    are read again. A record that is frozen here is acknowledged if its after-sale period ended before the batch was
    opened. If the period ends later, this batch may reject the order, so the Order Center continues to offer it.
    """
    read_afresh = [each.order_id for each in exceptions if each.reason_code != ReasonCode.OUTCOME_UNKNOWN]
    records = {record.order_id: record for record in await _fetch_readable(systems.order_center, read_afresh)}
    frozen = {each.order_id: _record_to_freeze(each, records.get(each.order_id)) for each in exceptions}
    items = [_rerun_item(each, frozen[each.order_id]) for each in exceptions]
    taken = await systems.store.filling.append_rerun_items(batch.batch_id, items)
    await systems.order_center.acknowledge(
        [
            RecordVersion(order_id, record.version)
            for order_id, record in frozen.items()
            if record and order_id in taken and record.after_sale_ends_at < batch.opened_at
        ]
    )
    return len(taken)


async def _fetch_readable(order_center: OrderCenter, order_ids: Sequence[str]) -> Sequence[FetchedRecord]:
    """Read the orders' records, leaving out unreadable ones. It finds these by halving the list.

    An order that failed because of its record is frozen with its old payload. Validation isolates it again.
    """
    with suppress(DataError):
        return await order_center.fetch_records(order_ids)
    if len(order_ids) == 1:
        return []
    middle = len(order_ids) // 2
    halves = (order_ids[:middle], order_ids[middle:])
    return [record for half in halves for record in await _fetch_readable(order_center, half)]


def _record_to_freeze(exception: StoredException, record: FetchedRecord | None) -> FetchedRecord | None:
    """Return the record whose payload is frozen now, or None to request the earlier item's payload again.

    An order with a payload conflict has a credit. Its record may have been repaired to agree with the credit. If the
    record has no amount to credit, the earlier payload is requested again and gets the same answer as before.
    """
    if (
        record
        and exception.reason_code in _MAY_BE_CREDITED
        and due_minor_of(record.paid_minor, record.refunded_minor) <= 0
    ):
        return None
    return record


def _rerun_item(exception: StoredException, record: FetchedRecord | None) -> RerunItem:
    if record:
        due_minor = due_minor_of(record.paid_minor, record.refunded_minor)
        payload = Payload(record.account_id, due_minor, record.currency)
    else:
        payload = payload_of(exception)
    return RerunItem(
        exception.order_id, exception.claim_no, *payload, inherits_unknown=exception.reason_code in _MAY_BE_CREDITED
    )
