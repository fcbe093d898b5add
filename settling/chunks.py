"""The two steps over a chunk: validate its orders, then credit those that may be credited."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import compress
from types import MappingProxyType
from typing import NamedTuple

from domain import limits
from domain.errors import ChunkDataError, ChunkUnfinishedError, InvariantViolationError, UnansweredError
from domain.identifiers import chunk_workflow_id, credit_key
from domain.order_rules import find_rejects
from domain.tables import Table, columns_of
from fund_platform.port import FundPlatform
from order_center.port import OrderCenter
from schemas.batches import Chunk, ChunkState, ExceptionItem, Item, OutcomeTotals
from schemas.isolation import ItemRange, SetAside
from schemas.ledger import CreditRequest, CreditResultCode
from schemas.orders import RecordVersion, TransactionRecord
from schemas.reasons import Outcome, ReasonCode
from schemas.workflows import ChunkRef
from settlement_store.port import SettlementStore
from settling.data_errors import data_errors_of, describe, is_data_error
from settling.turns import CreditTurns

SETTLED_CODES = frozenset({CreditResultCode.CREATED, CreditResultCode.EXISTS})
EXCEPTION_BY_CODE = MappingProxyType(
    {
        CreditResultCode.ACCOUNT_NOT_FOUND: (Outcome.REJECTED, ReasonCode.ACCOUNT_NOT_FOUND),
        CreditResultCode.ACCOUNT_CLOSED: (Outcome.REJECTED, ReasonCode.ACCOUNT_CLOSED),
        CreditResultCode.CURRENCY_MISMATCH: (Outcome.REJECTED, ReasonCode.ACCOUNT_CURRENCY_DIFFERS),
        CreditResultCode.WITHDRAWN: (Outcome.FAILED, ReasonCode.DATA_ERROR),
        CreditResultCode.EXISTS_WITH_DIFFERENT_PAYLOAD: (Outcome.HELD, ReasonCode.PAYLOAD_CONFLICT),
    }
)

_NOTHING_ASIDE = SetAside()

# The announcement was at fault, not the order: the record is still to come in, as it says or when it is overdue.
# And so a late attempt, which may have read a newer record than was validated, acknowledges none that differs from the
# frozen item.
_OFFERED_AGAIN = frozenset(
    {
        ReasonCode.ORDER_UNKNOWN,
        ReasonCode.ACCOUNT_DIFFERS,
        ReasonCode.AMOUNT_DIFFERS,
        ReasonCode.CURRENCY_DIFFERS,
        ReasonCode.AFTER_SALE_NOT_OVER,
    }
)


# A method of the Fund Platform's port that answers credit requests.
AskForCredits = Callable[[str, Sequence[CreditRequest]], Awaitable[Mapping[str, CreditResultCode]]]


class Judgement(NamedTuple):
    """The items that are to be rejected, with the reason, and the records that were found."""

    rejects: list[tuple[Item, ReasonCode]]
    records: Sequence[TransactionRecord]

    def read_versions(self) -> list[RecordVersion]:
        """The records that are answered for, to be acknowledged in the version that was read."""
        offered_again = {item.order_id for item, reason in self.rejects if reason in _OFFERED_AGAIN}
        order_ids, *_, versions = columns_of(TransactionRecord, self.records)
        read = Table(RecordVersion, (order_ids, versions))
        return [version for version in read if version.order_id not in offered_again]


class _Validated(NamedTuple):
    """A validated chunk's totals so far, and what is pending in it: None if another attempt has validated it."""

    totals: OutcomeTotals
    pending: Sequence[Item] | None


async def settle_chunk(
    order_center: OrderCenter, store: SettlementStore, fund_platform: FundPlatform, turns: CreditTurns, ref: ChunkRef
) -> OutcomeTotals:
    """Validate a chunk's orders, then have those that may be credited credited, and close the chunk.

    Both steps in turn, except that what this attempt has validated it credits without reading it again. An attempt
    that lost the validation to another one, which may have been told another record of an order, reads what is pending.

    Raises:
        ChunkDataError, InvariantViolationError, TurnLaterError, UnansweredError: as the two steps do.
    """
    chunk = await store.chunks.fetch_chunk(ref.batch_id, ref.chunk_index)
    validated = await _validate(order_center, store, ref, chunk, _NOTHING_ASIDE)
    if validated.pending is None:
        return await credit_chunk(store, fund_platform, turns, ref)
    return await _credit(store, fund_platform, turns, ref, chunk, validated.pending, [])


async def validate_chunk(
    order_center: OrderCenter, store: SettlementStore, ref: ChunkRef, set_aside: SetAside = _NOTHING_ASIDE
) -> OutcomeTotals:
    """Validate a planned chunk's orders against the Order Center's records, and store the rejects.

    What counts is the payload that was frozen: a record that has changed since does not agree with it. An item that
    inherits the unknown is not validated. A chunk that is validated already is left as it is, and its stored totals
    are returned. Of what is set aside, items that stand alone are stored with their outcomes, and held items as not
    attempted, in the same transaction.

    A chunk that acknowledges does so after its step is stored. A crash in between leaves its orders offered: a later
    run counts them as duplicates.

    Raises:
        ChunkDataError: the data of items that are not set aside make it fail; nothing was stored.
    """
    chunk = await store.chunks.fetch_chunk(ref.batch_id, ref.chunk_index)
    return (await _validate(order_center, store, ref, chunk, set_aside)).totals


async def _validate(
    order_center: OrderCenter, store: SettlementStore, ref: ChunkRef, chunk: Chunk, set_aside: SetAside
) -> _Validated:
    if chunk.state != ChunkState.PLANNED:
        return _Validated((await store.chunks.store_validation(ref.batch_id, ref.chunk_index, [])).totals, None)
    pending = await store.chunks.fetch_pending_items(ref.batch_id, chunk)
    items, exceptions = _set_aside(set_aside, items_to_judge(pending), ReasonCode.NOT_ATTEMPTED)
    judgement = await judge(order_center, ref, items, ItemRange(chunk.item_start, chunk.item_end))
    exceptions += [ExceptionItem(item.item_no, Outcome.REJECTED, reason) for item, reason in judgement.rejects]
    stored = await store.chunks.store_validation(ref.batch_id, ref.chunk_index, exceptions)
    if ref.acknowledges:
        await order_center.acknowledge(judgement.read_versions())
    return _Validated(stored.totals, _without(pending, exceptions) if stored.is_new else None)


def _without(items: Sequence[Item], exceptions: Sequence[ExceptionItem]) -> Sequence[Item]:
    if not exceptions:
        return items
    columns = columns_of(Item, items)
    left_out = {exception.item_no for exception in exceptions}
    stay = [item_no not in left_out for item_no in columns[0]]
    return Table(Item, [list(compress(column, stay)) for column in columns])


def items_to_judge(pending: Sequence[Item]) -> Sequence[Item]:
    """The items that validation judges: not those that inherit the unknown."""
    *_, inherit_unknown = columns_of(Item, pending)
    return [item for item in pending if not item.inherits_unknown] if any(inherit_unknown) else pending


async def judge(
    order_center: OrderCenter,
    ref: ChunkRef,
    items: Sequence[Item],
    within: ItemRange,
    unknown_order_pauses_s: Sequence[float] = limits.UNKNOWN_ORDER_PAUSES_S,
) -> Judgement:
    """Read the items' records and judge each by the rules; has no effect.

    Raises:
        ChunkDataError: the data of an item of the range `within` make it fail.
    """
    with data_errors_of(within):
        _, order_ids, *_ = columns_of(Item, items)
        records = await _fetch_records(order_center, order_ids, unknown_order_pauses_s)
        return Judgement(find_rejects(items, records, ref.cutoff_at), records)


async def _fetch_records(
    order_center: OrderCenter, order_ids: Sequence[str], unknown_order_pauses_s: Sequence[float]
) -> Sequence[TransactionRecord]:
    """Read the orders' records; for those that are not known, ask again after each pause.

    An order's announcement can outrun the Order Center's own commit.
    """
    records = await order_center.fetch_records(order_ids)
    for pause_s in unknown_order_pauses_s:
        if len(records) == len(order_ids):
            break
        known_ids, *_ = columns_of(TransactionRecord, records)
        unknown_ids = set(order_ids).difference(known_ids)
        await asyncio.sleep(pause_s)
        records = [*records, *await order_center.fetch_records(sorted(unknown_ids))]
    return records


async def credit_chunk(
    store: SettlementStore,
    fund_platform: FundPlatform,
    turns: CreditTurns,
    ref: ChunkRef,
    set_aside: SetAside = _NOTHING_ASIDE,
) -> OutcomeTotals:
    """Have a validated chunk's orders credited, then store their outcomes and close the chunk.

    A closed chunk is left as it is, and its stored totals are returned; also one that was closed while the Fund
    Platform was asked, and whose orders have come in again since. Of what is set aside nothing is requested: items
    that stand alone are stored with their outcomes, and held items as of unknown outcome, in the same transaction.

    Raises:
        InvariantViolationError: the chunk was never validated, or a pending item's claim has moved on.
        ChunkDataError: the data of items that are not set aside make it fail; nothing was stored.
        UnansweredError: the Fund Platform gave no answer; the credits may exist.
        TurnLaterError: a cap on credits makes the chunk wait; nothing was requested.
    """
    chunk = await store.chunks.fetch_chunk(ref.batch_id, ref.chunk_index)
    if chunk.state == ChunkState.CLOSED:
        return await store.chunks.fetch_chunk_totals(ref.batch_id, ref.chunk_index)
    if chunk.state == ChunkState.PLANNED:
        raise InvariantViolationError(
            f"Chunk {ref.chunk_index} of batch {ref.batch_id} is to be credited but has no stored validation. "
            "Nothing was requested; look at the chunk's workflow in the Temporal web UI."
        )
    pending = await store.chunks.fetch_pending_items(ref.batch_id, chunk)
    items, exceptions = _set_aside(set_aside, pending, ReasonCode.OUTCOME_UNKNOWN)
    return await _credit(store, fund_platform, turns, ref, chunk, items, exceptions)


async def _credit(
    store: SettlementStore,
    fund_platform: FundPlatform,
    turns: CreditTurns,
    ref: ChunkRef,
    chunk: Chunk,
    items: Sequence[Item],
    exceptions: list[ExceptionItem],
) -> OutcomeTotals:
    """Have the items credited, and close the chunk with what came of them and the exceptions that there are already."""
    await turns.take(ref, len(items))
    codes = await ask_for_credits(
        fund_platform.credits.post_credits, ref, items, ItemRange(chunk.item_start, chunk.item_end)
    )
    if CreditResultCode.SUPERSEDED in codes.values():
        superseded = next(item for item in items if codes.get(item.item_no) == CreditResultCode.SUPERSEDED)
        return await fetch_totals_of_zombie(store, ref, superseded)
    refused = [
        ExceptionItem(item_no, *EXCEPTION_BY_CODE[code]) for item_no, code in codes.items() if code not in SETTLED_CODES
    ]
    return await store.chunks.store_outcomes(ref.batch_id, ref.chunk_index, [*exceptions, *refused])


async def ask_for_credits(
    ask: AskForCredits, ref: ChunkRef, items: Sequence[Item], within: ItemRange
) -> dict[int, CreditResultCode]:
    """Have the Fund Platform answer for items, each under its order's key and its claim number.

    Returns:
        The codes other than `created`, by `item_no`.

    Raises:
        ChunkDataError: the data of an item of the range `within` make it fail, or its answer makes no sense.
        UnansweredError: it gave no answer; what was requested may exist.
    """
    item_nos, order_ids, account_ids, amounts_minor, currencies, claim_nos, _ = columns_of(Item, items)
    keys = list(map(credit_key, order_ids))
    requests = Table(CreditRequest, (keys, claim_nos, account_ids, amounts_minor, currencies))
    try:
        codes = await ask(chunk_workflow_id(ref.batch_id, ref.chunk_index), requests)
        answers = zip(item_nos, map(codes.__getitem__, keys), strict=True)
        created = CreditResultCode.CREATED
        return {item_no: CreditResultCode(code) for item_no, code in answers if code != created}
    except Exception as error:
        if is_data_error(error):
            raise ChunkDataError(describe(error), *within) from error
        raise UnansweredError(
            f"The Fund Platform gave no answer for chunk {ref.chunk_index}: {describe(error)}"
        ) from error


async def fetch_totals_of_zombie(store: SettlementStore, ref: ChunkRef, superseded: Item) -> OutcomeTotals:
    """The totals of a chunk that another run closed: only then can a later item have an order's claim.

    Raises:
        InvariantViolationError: the chunk is not closed.
    """
    try:
        return await store.chunks.fetch_chunk_totals(ref.batch_id, ref.chunk_index)
    except ChunkUnfinishedError as error:
        raise InvariantViolationError(
            f"The Fund Platform answered superseded for order {superseded.order_id}, claim number "
            f"{superseded.claim_no}: a later item holds its claim, although chunk {ref.chunk_index} of batch "
            f"{ref.batch_id} is not closed. Nothing was stored; run: settle audit"
        ) from error


def _set_aside(
    set_aside: SetAside, items: Sequence[Item], held_reason: ReasonCode
) -> tuple[Sequence[Item], list[ExceptionItem]]:
    """The items that are left to process, and the outcomes of the others that are not settled."""
    if set_aside == _NOTHING_ASIDE:
        return items, []
    isolated_item_nos = {each.item_no for each in set_aside.isolated}
    held_item_nos = {item_no for held in set_aside.held_ranges for item_no in range(*held)}
    aside = isolated_item_nos | held_item_nos
    exceptions = [
        ExceptionItem(each.item_no, each.outcome, each.reason_code, each.detail)
        for each in set_aside.isolated
        if each.reason_code
    ]
    exceptions += [
        ExceptionItem(item.item_no, Outcome.HELD, held_reason, set_aside.held_detail)
        for item in items
        if item.item_no in held_item_nos
    ]
    left = [item for item in items if item.item_no not in aside]
    return left, exceptions
