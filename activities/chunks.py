"""The two steps over a chunk: validate its orders, then credit those that may be credited."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from domain.errors import InvariantViolationError
from domain.identifiers import chunk_workflow_id, credit_key
from domain.order_rules import rejection_reason
from fund_platform.port import FundPlatform
from order_center.port import OrderCenter
from schemas.batches import ChunkState, ExceptionItem, Item, OutcomeTotals
from schemas.ledger import CreditRequest, CreditResultCode
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


async def validate_chunk(order_center: OrderCenter, store: SettlementStore, ref: ChunkRef) -> OutcomeTotals:
    """Validate a planned chunk's orders by one read of the Order Center, and store the rejects.

    A chunk that is validated already is left as it is, and its stored totals are returned.
    """
    chunk = await store.fetch_chunk(ref.batch_id, ref.chunk_index)
    if chunk.state != ChunkState.PLANNED:
        return await store.store_validation(ref.batch_id, ref.chunk_index, [])
    items = await store.fetch_pending_items(ref.batch_id, chunk)
    records = await order_center.fetch_records([item.order_id for item in items])
    record_by_order_id = {record.order_id: record for record in records}
    rejects = [
        ExceptionItem(item.item_no, Outcome.REJECTED, reason_code)
        for item in items
        if (reason_code := rejection_reason(item, record_by_order_id.get(item.order_id), ref.cutoff_at))
    ]
    return await store.store_validation(ref.batch_id, ref.chunk_index, rejects)


async def credit_chunk(store: SettlementStore, fund_platform: FundPlatform, ref: ChunkRef) -> OutcomeTotals:
    """Have a validated chunk's orders credited, then store their outcomes and close the chunk.

    A closed chunk is left as it is, and its stored totals are returned.

    Raises:
        InvariantViolationError: the chunk was never validated, or a pending item's claim has moved on.
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
    codes = await fund_platform.post_credits(
        chunk_workflow_id(ref.batch_id, ref.chunk_index),
        [
            CreditRequest(credit_key(item.order_id), item.claim_no, item.account_id, item.amount_minor, item.currency)
            for item in items
        ],
    )
    return await store.store_outcomes(ref.batch_id, ref.chunk_index, _plan_exceptions(items, codes))


def _plan_exceptions(items: Sequence[Item], codes: Mapping[str, CreditResultCode]) -> list[ExceptionItem]:
    exceptions = []
    for item in items:
        code = codes[credit_key(item.order_id)]
        if code in SETTLED_CODES:
            continue
        if code not in EXCEPTION_BY_CODE:
            raise InvariantViolationError(
                f"The Fund Platform answered {code} for order {item.order_id}, claim number {item.claim_no}: "
                "a later item holds this order's claim. Nothing was stored; run: settle audit"
            )
        exceptions.append(ExceptionItem(item.item_no, *EXCEPTION_BY_CODE[code]))
    return exceptions
