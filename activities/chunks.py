"""The two steps over a chunk: validate its orders, then credit those that may be credited."""

import asyncio
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from activities.credit_turns import CreditTurns
from domain import limits
from domain.errors import ChunkUnfinishedError, InvariantViolationError
from domain.identifiers import chunk_workflow_id, credit_key
from domain.order_rules import rejection_reason
from fund_platform.port import FundPlatform
from order_center.port import OrderCenter
from schemas.batches import ChunkState, ExceptionItem, Item, OutcomeTotals
from schemas.ledger import CreditRequest, CreditResultCode
from schemas.orders import TransactionRecord
from schemas.reasons import Outcome, ReasonCode
from schemas.workflows import ChunkRef
from settlement_store.port import SettlementStore

SETTLED_CODES = frozenset({CreditResultCode.CREATED, CreditResultCode.EXISTS})
EXCEPTION_BY_CODE = MappingProxyType(
    {
        CreditResultCode.ACCOUNT_NOT_FOUND: (Outcome.REJECTED, ReasonCode.ACCOUNT_NOT_FOUND),
        CreditResultCode.ACCOUNT_CLOSED: (Outcome.REJECTED, ReasonCode.ACCOUNT_CLOSED),
        CreditResultCode.CURRENCY_MISMATCH: (Outcome.REJECTED, ReasonCode.ACCOUNT_CURRENCY_DIFFERS),
        CreditResultCode.EXISTS_WITH_DIFFERENT_PAYLOAD: (Outcome.HELD, ReasonCode.PAYLOAD_CONFLICT),
    }
)

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


async def validate_chunk(order_center: OrderCenter, store: SettlementStore, ref: ChunkRef) -> OutcomeTotals:
    """Validate a planned chunk's orders against the Order Center's records, and store the rejects.

    What counts is the payload that was frozen: a record that has changed since does not agree with it. An item that
    inherits the unknown is not validated. A chunk that is validated already is left as it is, and its stored totals
    are returned.

    A chunk that acknowledges does so after its step is stored. A crash in between leaves its orders offered: a later
    run counts them as duplicates.
    """
    chunk = await store.fetch_chunk(ref.batch_id, ref.chunk_index)
    if chunk.state != ChunkState.PLANNED:
        return await store.store_validation(ref.batch_id, ref.chunk_index, [])
    pending = await store.fetch_pending_items(ref.batch_id, chunk)
    items = [item for item in pending if not item.inherits_unknown]
    record_by_order_id = await _fetch_records(order_center, [item.order_id for item in items])
    judged = [(item, rejection_reason(item, record_by_order_id.get(item.order_id), ref.cutoff_at)) for item in items]
    rejects = [ExceptionItem(item.item_no, Outcome.REJECTED, reason) for item, reason in judged if reason]
    totals = await store.store_validation(ref.batch_id, ref.chunk_index, rejects)
    if ref.acknowledges:
        answered = [record_by_order_id[item.order_id] for item, reason in judged if reason not in _OFFERED_AGAIN]
        await order_center.acknowledge([(record.order_id, record.version) for record in answered])
    return totals


async def _fetch_records(order_center: OrderCenter, order_ids: Sequence[str]) -> dict[str, TransactionRecord]:
    """Read the orders' records; for those that are not known, ask again for a short while.

    An order's announcement can outrun the Order Center's own commit.
    """
    records = {record.order_id: record for record in await order_center.fetch_records(order_ids)}
    for pause_s in limits.UNKNOWN_ORDER_PAUSES_S:
        unknown = [order_id for order_id in order_ids if order_id not in records]
        if not unknown:
            break
        await asyncio.sleep(pause_s)
        records.update((record.order_id, record) for record in await order_center.fetch_records(unknown))
    return records


async def credit_chunk(
    store: SettlementStore, fund_platform: FundPlatform, turns: CreditTurns, ref: ChunkRef
) -> OutcomeTotals:
    """Have a validated chunk's orders credited, then store their outcomes and close the chunk.

    A closed chunk is left as it is, and its stored totals are returned; also one that was closed while the Fund
    Platform was asked, and whose orders have come in again since.

    Raises:
        InvariantViolationError: the chunk was never validated, or a pending item's claim has moved on.
        TurnLaterError: a cap on credits makes the chunk wait; nothing was requested.
    """
    chunk = await store.fetch_chunk(ref.batch_id, ref.chunk_index)
    if chunk.state == ChunkState.CLOSED:
        return await store.fetch_chunk_totals(ref.batch_id, ref.chunk_index)
    if chunk.state == ChunkState.PLANNED:
        raise InvariantViolationError(
            f"Chunk {ref.chunk_index} of batch {ref.batch_id} is to be credited but has no stored validation. "
            "Nothing was requested; look at the chunk's workflow in the Temporal web UI."
        )
    items = await store.fetch_pending_items(ref.batch_id, chunk)
    await turns.take(ref, len(items))
    codes = await fund_platform.post_credits(
        chunk_workflow_id(ref.batch_id, ref.chunk_index),
        [
            CreditRequest(credit_key(item.order_id), item.claim_no, item.account_id, item.amount_minor, item.currency)
            for item in items
        ],
    )
    superseded = [item for item in items if codes[credit_key(item.order_id)] == CreditResultCode.SUPERSEDED]
    if superseded:
        return await _fetch_totals_of_zombie(store, ref, superseded[0])
    return await store.store_outcomes(ref.batch_id, ref.chunk_index, _plan_exceptions(items, codes))


async def _fetch_totals_of_zombie(store: SettlementStore, ref: ChunkRef, superseded: Item) -> OutcomeTotals:
    """The totals of a chunk that another run closed: only then can a later item have an order's claim."""
    try:
        return await store.fetch_chunk_totals(ref.batch_id, ref.chunk_index)
    except ChunkUnfinishedError as error:
        raise InvariantViolationError(
            f"The Fund Platform answered superseded for order {superseded.order_id}, claim number "
            f"{superseded.claim_no}: a later item holds its claim, although chunk {ref.chunk_index} of batch "
            f"{ref.batch_id} is not closed. Nothing was stored; run: settle audit"
        ) from error


def _plan_exceptions(items: Sequence[Item], codes: Mapping[str, CreditResultCode]) -> list[ExceptionItem]:
    exceptions = []
    for item in items:
        code = codes[credit_key(item.order_id)]
        if code in SETTLED_CODES:
            continue
        exceptions.append(ExceptionItem(item.item_no, *EXCEPTION_BY_CODE[code]))
    return exceptions
