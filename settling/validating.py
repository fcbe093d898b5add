"""A chunk's first step: validate its orders against the Order Center's records, and store the rejects."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from itertools import compress
from typing import NamedTuple

from domain import limits
from domain.errors import ChunkDataError, DataError
from domain.order_rules import find_rejects
from order_center.port import OrderCenter
from schemas.chunks import ChunkKey, ChunkState
from schemas.items import ExceptionItem, Item
from schemas.orders import FetchedRecord, RecordVersion
from schemas.tables import Table, columns_of
from schemas.wire.batches import BatchSource
from schemas.wire.isolation import Exclusions, ItemRange
from schemas.wire.reasons import Outcome, ReasonCode
from schemas.wire.totals import OutcomeTotals
from settling.excluding import NO_EXCLUSIONS, exclude
from settling.failures import calling, describe, over_items
from settling.systems import Systems

# The announcement was wrong, not the order. The record stays unacknowledged, so the Order Center offers the order to a
# later batch once it is overdue.
_OFFERED_AGAIN = frozenset(
    {
        ReasonCode.ORDER_UNKNOWN,
        ReasonCode.ACCOUNT_DIFFERS,
        ReasonCode.AMOUNT_DIFFERS,
        ReasonCode.CURRENCY_DIFFERS,
        ReasonCode.AFTER_SALE_NOT_OVER,
    }
)


class Judgement(NamedTuple):
    """The items to reject, with their reasons, and the records of all judged items that have one."""

    rejects: list[tuple[Item, ReasonCode]]
    records: Sequence[FetchedRecord]

    def read_versions(self) -> list[RecordVersion]:
        """Return the record versions to acknowledge: all that were read, except those to be offered again."""
        offered_again = {item.order_id for item, reason in self.rejects if reason in _OFFERED_AGAIN}
        order_ids, *_, versions = columns_of(FetchedRecord, self.records)
        read = Table(RecordVersion, (order_ids, versions))
        return [version for version in read if version.order_id not in offered_again]


class Validated(NamedTuple):
    """A validated chunk with its totals so far. `pending` is None if another attempt validated the chunk."""

    items: ItemRange
    totals: OutcomeTotals
    pending: Sequence[Item] | None


async def validate_chunk(
    systems: Systems,
    key: ChunkKey,
    exclusions: Exclusions = NO_EXCLUSIONS,
) -> Validated:
    """Validate a planned chunk's orders against the Order Center's records, and store the rejects.

    The frozen payload is compared with the record. If the account, amount or currency has changed since freezing, the
    order is rejected. An item that inherits the unknown may have a credit already, so it is not validated. If the chunk
    is validated already, its stored totals are returned and nothing changes. Idempotent, and atomic except for the
    acknowledgement.

    The cutoff is the one stored with the batch. A chunk of a Kafka batch also acknowledges the records to the Order
    Center once the step is stored, because the batch's freezing acknowledged nothing. If the process crashes in
    between, or another attempt stored the step, the orders may be offered again. A later run then counts them as
    duplicates.

    Args:
        systems: the Order Center has the records. The store has the chunk.
        key: the chunk.
        exclusions: items that are not validated. The transaction that stores the rejects also stores the outcomes of
            isolated items, and holds the items of the held ranges for the reason `NOT_ATTEMPTED`.

    Raises:
        ChunkDataError: the data of items that are not excluded make the step fail. Nothing was stored.
    """
    chunk = await systems.store.chunks.fetch_chunk(*key)
    within = chunk.items
    if chunk.state != ChunkState.PLANNED:
        # On a chunk that is not planned, `store_validation` stores nothing and returns the stored totals.
        return Validated(within, (await systems.store.chunks.store_validation(*key, [])).totals, None)
    pending = await systems.store.chunks.fetch_pending_items(key.batch_id, within)
    items, exceptions = exclude(exclusions, items_to_judge(pending), ReasonCode.NOT_ATTEMPTED)
    judgement = await judge(systems.order_center, items, chunk.cutoff_at, within)
    exceptions += [ExceptionItem(item.item_no, Outcome.REJECTED, reason) for item, reason in judgement.rejects]
    stored = await systems.store.chunks.store_validation(*key, exceptions)
    # If another attempt stored the validation, it may have judged older versions than the ones read here.
    if chunk.source == BatchSource.KAFKA and stored.is_new:
        await systems.order_center.acknowledge(judgement.read_versions())
    return Validated(within, stored.totals, _without(pending, exceptions) if stored.is_new else None)


def items_to_judge(pending: Sequence[Item]) -> Sequence[Item]:
    """Return the items that validation judges: all except those that inherit the unknown."""
    *_, inherit_unknown = columns_of(Item, pending)
    return [item for item in pending if not item.inherits_unknown] if any(inherit_unknown) else pending


async def judge(
    order_center: OrderCenter,
    items: Sequence[Item],
    cutoff_at: datetime,
    within: ItemRange,
    unknown_order_pauses_s: Sequence[float] = limits.UNKNOWN_ORDER_PAUSES_S,
) -> Judgement:
    """Read the items' records and judge each item by the rules. This has no effect.

    Raises:
        ChunkDataError: the data of an item in the range `within` make this fail.
        UnavailableError, UnansweredError: the Order Center could not be read.
    """
    _, order_ids, *_ = columns_of(Item, items)
    try:
        with calling("The Order Center"):
            records = await _fetch_records(order_center, order_ids, unknown_order_pauses_s)
    except DataError as error:
        raise ChunkDataError(describe(error), *within) from error
    with over_items(within):
        return Judgement(find_rejects(items, records, cutoff_at), records)


async def _fetch_records(
    order_center: OrderCenter, order_ids: Sequence[str], unknown_order_pauses_s: Sequence[float]
) -> Sequence[FetchedRecord]:
    """Read the orders' records. If some are missing, read these again after each pause.

    An order's announcement can arrive before the Order Center's own commit.
    """
    records = await order_center.fetch_records(order_ids)
    for pause_s in unknown_order_pauses_s:
        if len(records) == len(order_ids):
            break
        known_ids, *_ = columns_of(FetchedRecord, records)
        unknown_ids = set(order_ids).difference(known_ids)
        await asyncio.sleep(pause_s)
        records = [*records, *await order_center.fetch_records(sorted(unknown_ids))]
    return records


def _without(items: Sequence[Item], exceptions: Sequence[ExceptionItem]) -> Sequence[Item]:
    if not exceptions:
        return items
    columns = columns_of(Item, items)
    left_out = {exception.item_no for exception in exceptions}
    stay = [item_no not in left_out for item_no in columns[0]]
    return Table(Item, [list(compress(column, stay)) for column in columns])
