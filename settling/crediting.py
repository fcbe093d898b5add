"""A chunk's second step: have its valid orders credited, store their outcomes, and close the chunk."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType

from domain.errors import (
    ChunkDataError,
    ChunkUnfinishedError,
    CreditsUnansweredError,
    DataError,
    InvariantViolationError,
    UnansweredError,
    UnavailableError,
)
from domain.identifiers import credit_key, credit_reference
from schemas.chunks import ChunkKey, ChunkState
from schemas.items import ExceptionItem, Item
from schemas.ledger import CreditRequest, CreditResultCode
from schemas.next_steps import AUDIT
from schemas.tables import Table, columns_of
from schemas.wire.isolation import Exclusions, ItemRange
from schemas.wire.reasons import Outcome, ReasonCode
from schemas.wire.totals import OutcomeTotals
from settlement_store.port.chunks import Chunks
from settling.excluding import NO_EXCLUSIONS, exclude
from settling.failures import calling, describe, over_items
from settling.systems import Systems
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

# The type of `post_credits` and `withdraw_credits` of the Fund Platform's port.
AskForCredits = Callable[[str, Sequence[CreditRequest]], Awaitable[Mapping[str, CreditResultCode]]]


async def credit_chunk(
    systems: Systems,
    turns: CreditTurns,
    key: ChunkKey,
    *,
    is_turn_promised: bool = False,
    exclusions: Exclusions = NO_EXCLUSIONS,
) -> OutcomeTotals:
    """Have a validated chunk's orders credited, then store their outcomes and close the chunk. Idempotent.

    If the chunk is closed, return its stored totals and change nothing. The same applies if another attempt closes it
    while the Fund Platform is answering, even if a later batch has taken some of its orders by then.

    Args:
        systems: the Fund Platform credits the orders. The store has the chunk.
        turns: turns to send credits under a cap.
        key: the chunk.
        is_turn_promised: whether an earlier `TurnLaterError` promised the chunk a turn for this call.
        exclusions: items for which nothing is requested. The transaction that closes the chunk also stores the outcomes
            of isolated items, and holds the items of the held ranges for the reason `OUTCOME_UNKNOWN`.

    Raises:
        InvariantViolationError: the chunk was never validated, or a later item holds a pending item's claim.
        ChunkDataError: the data of items that are not excluded make the step fail. Nothing was stored.
        CreditsUnansweredError: the Fund Platform gave no answer. The credits may exist.
        TurnLaterError: a cap on credits makes the chunk wait. Nothing was requested.
    """
    chunk = await systems.store.chunks.fetch_chunk(*key)
    if chunk.state == ChunkState.CLOSED:
        return await systems.store.chunks.fetch_chunk_totals(*key)
    if chunk.state == ChunkState.PLANNED:
        raise InvariantViolationError(
            f"Chunk {key.chunk_index} of batch {key.batch_id} cannot be credited: it has no stored validation. "
            "Settle requested nothing. Look at the chunk's workflow in the Temporal web UI."
        )
    pending = await systems.store.chunks.fetch_pending_items(key.batch_id, chunk.items)
    items, exceptions = exclude(exclusions, pending, ReasonCode.OUTCOME_UNKNOWN)
    await turns.take(key.batch_id, len(items), is_promised=is_turn_promised)
    return await credit_items(systems, key, chunk.items, items, exceptions)


async def credit_items(
    systems: Systems, key: ChunkKey, within: ItemRange, items: Sequence[Item], exceptions: Sequence[ExceptionItem]
) -> OutcomeTotals:
    """Have pending items of a validated chunk credited, and close the chunk with their outcomes.

    The caller must have taken a turn for them.

    Args:
        systems: the Fund Platform credits the orders. The store has the chunk.
        key: the chunk.
        within: the range of all the chunk's items.
        items: the items to credit.
        exceptions: the outcomes of the other pending items.

    Raises:
        ChunkDataError, InvariantViolationError, CreditsUnansweredError: see `credit_chunk`.
    """
    codes = await ask_for_credits(systems.fund_platform.credits.post_credits, key, items, within)
    if CreditResultCode.SUPERSEDED in codes.values():
        superseded = next(item for item in items if codes.get(item.item_no) == CreditResultCode.SUPERSEDED)
        return await fetch_totals_of_zombie(systems.store.chunks, key, superseded)
    refused = [
        ExceptionItem(item_no, *EXCEPTION_BY_CODE[code]) for item_no, code in codes.items() if code not in SETTLED_CODES
    ]
    return await systems.store.chunks.store_outcomes(*key, [*exceptions, *refused])


async def ask_for_credits(
    ask: AskForCredits, key: ChunkKey, items: Sequence[Item], within: ItemRange
) -> dict[int, CreditResultCode]:
    """Send requests to post or withdraw the items' credits, each with its order's key and its claim number.

    Returns:
        The codes other than `created`, by `item_no`.

    Raises:
        ChunkDataError: the data of an item in the range `within` make the call fail, or the Fund Platform's answer is
            invalid.
        NotSupportedError: the Fund Platform does not support the call.
        CreditsUnansweredError: the Fund Platform gave no answer. The requested credits may exist.
    """
    item_nos, order_ids, account_ids, amounts_minor, currencies, claim_nos, _ = columns_of(Item, items)
    keys = list(map(credit_key, order_ids))
    requests = Table(CreditRequest, (keys, claim_nos, account_ids, amounts_minor, currencies))
    try:
        with calling("The Fund Platform"):
            codes = await ask(credit_reference(*key), requests)
    except (DataError, InvariantViolationError) as error:
        raise ChunkDataError(describe(error), *within) from error
    except (UnavailableError, UnansweredError) as error:
        # `UnavailableError` means that this call had no effect, but a call of an earlier attempt may have had one.
        raise CreditsUnansweredError(
            f"The Fund Platform gave no answer for chunk {key.chunk_index}: {describe(error)}"
        ) from error
    with over_items(within):
        answers = zip(item_nos, map(codes.__getitem__, keys), strict=True)
        created = CreditResultCode.CREATED
        return {item_no: CreditResultCode(code) for item_no, code in answers if code != created}


async def fetch_totals_of_zombie(chunks: Chunks, key: ChunkKey, superseded: Item) -> OutcomeTotals:
    """Return the totals of a chunk after the Fund Platform answered `superseded` for one of its items.

    The answer means that a later item holds the order's claim. A pending item keeps its claim until its chunk is
    closed. Another run has therefore closed the chunk, and this run is the zombie.

    Raises:
        InvariantViolationError: the chunk is not closed.
    """
    try:
        return await chunks.fetch_chunk_totals(*key)
    except ChunkUnfinishedError as error:
        raise InvariantViolationError(
            f"The Fund Platform answered superseded for order {superseded.order_id}, claim number "
            f"{superseded.claim_no}: a later item holds its claim, although chunk {key.chunk_index} of batch "
            f"{key.batch_id} is not closed. Settle stored nothing. Run an audit to find the cause.",
            AUDIT,
        ) from error
