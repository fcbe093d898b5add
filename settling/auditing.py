"""Every order held against the ledger, and both systems against themselves.

The two systems share no database, so their orders are read in slices of one order and merged here, in constant
memory; several slices are in hand at a time, each in another of its steps, so that the systems work side by side. It
may run at any moment, also while batches are filled and settled:

- Of each slice the items are read first and the ledger after them. What is settled had its credit before, so it is
  there; a credit that came since belongs to an item read as pending, and is unconfirmed.
- What looks like a break is read again, the item after the ledger this time: the credit may be of an order that was
  taken in, or came in again, after its slice was read.
- Each check of a system against itself is one snapshot, in which every transaction is whole.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import NamedTuple

from domain import limits
from domain.identifiers import credit_key, order_id_of_credit_key
from domain.order_payloads import describe_payload, payload_of
from fund_platform.port import FundPlatform
from fund_platform.port.credits import Credits
from fund_platform.port.proof import LedgerProof
from schemas.audit import AuditReport, Break, LatestItem
from schemas.item_outcomes import MISSING
from schemas.ledger import LedgerCredit
from schemas.wire.reasons import RELEASING_OUTCOMES, Outcome, ReasonCode
from settlement_store.port import SettlementStore
from settling.audit_tally import Breaks, Tally
from settling.side_by_side import run_side_by_side

_WITHOUT_PROOF = (
    "credits of no order, journal entries, balances and stored answers: the Fund Platform offers no proof of its ledger"
)


class _Comparison(NamedTuple):
    """An order as the two systems hold it: by its key, its latest item and its credit."""

    key: str
    item: LatestItem | None
    credit: LedgerCredit | None


async def audit(
    store: SettlementStore, fund_platform: FundPlatform, on_slice: Callable[[int], None] = lambda _order_count: None
) -> AuditReport:
    """Check invariants 1 to 5 over everything, from the stored plans, the items and the ledger.

    A Fund Platform that offers no proof of its ledger is asked for each order's credit by its key; what that leaves
    out, the report says.

    Reads only, in slices of `limits.AUDIT_SLICE_ORDER_COUNT`. What it names as a break is one, whatever runs
    meanwhile. At most `limits.AUDIT_BREAK_COUNT_MAX` breaks are kept, of every kind that was found; if there are
    more, one of the kind `more_breaks` says so at the end.

    Args:
        store: holds the items.
        fund_platform: holds the ledger.
        on_slice: told how many orders each slice had, once it is compared.
    """
    tally = Tally()
    breaks = Breaks()
    slices = _Slices(store)

    async def compare_slices() -> None:
        while slice_ := await slices.fetch_next():
            order_count = len(slice_.item_by_key)
            async for first in _compare(fund_platform, slice_):
                comparison = first
                suspected = _judge(comparison)
                if suspected and not breaks.is_full(suspected.kind):
                    comparison = await _compare_again(store, fund_platform, comparison.key)
                    breaks.add(_judge(comparison))
                tally.add(comparison.item, comparison.credit)
            on_slice(order_count)

    async def check_store() -> None:
        for found in await store.audit.fetch_store_breaks(limits.AUDIT_BREAK_COUNT_MAX + 1):
            breaks.add(found)

    async def check_ledger() -> None:
        if fund_platform.proof:
            for found in await fund_platform.proof.fetch_ledger_breaks(limits.AUDIT_BREAK_COUNT_MAX + 1):
                breaks.add(found)

    await run_side_by_side([compare_slices] * limits.AUDIT_SLICES_AT_A_TIME)
    await run_side_by_side([check_store, check_ledger])
    not_looked_at = [] if fund_platform.proof else [_WITHOUT_PROOF]
    offers = await store.audit.fetch_offer_counts()
    return AuditReport(
        ok=not breaks.by_kind,
        orders=tally.order_count,
        **tally.totals(),
        duplicates=offers.duplicate_count,
        conflicts=offers.conflict_count,
        duplicate_credits=len(breaks.by_kind.get("duplicate_credit", ())),
        unbalanced_entries=len(breaks.by_kind.get("unbalanced_entry", ())),
        balance_breaks=len(breaks.by_kind.get("balance_off", ())),
        oldest_pending_at=tally.oldest_pending_at,
        breaks=breaks.in_turn(),
        not_looked_at=not_looked_at,
    )


async def find_break(store: SettlementStore, fund_platform: FundPlatform, order_id: str) -> Break | None:
    """Hold one order against the ledger as the audit does; None if nothing is wrong with it."""
    key = credit_key(order_id)
    item = await store.audit.fetch_item_of_order(order_id)
    if _judge(_Comparison(key, item, await _fetch_credit(fund_platform.credits, key))) is None:
        return None
    return _judge(await _compare_again(store, fund_platform, key))


class _Slice(NamedTuple):
    """The latest items of some orders, by key; no other slice has a key after `after_key` up to `last_key`.

    The last slice has no last key: what the ledger has beyond belongs to it.
    """

    after_key: str
    last_key: str | None
    item_by_key: dict[str, LatestItem]


class _Slices:
    """All orders, slice by slice in key order, for several that compare them side by side."""

    def __init__(self, store: SettlementStore) -> None:
        self._store = store
        self._reading = asyncio.Lock()
        self._after_order_id = ""
        self._after_key = ""
        self._is_over = False

    async def fetch_next(self) -> _Slice | None:
        """The next slice; None after the last one, which may be empty."""
        async with self._reading:
            if self._is_over:
                return None
            items = await self._store.audit.fetch_latest_items(self._after_order_id, limits.AUDIT_SLICE_ORDER_COUNT)
            self._is_over = len(items) < limits.AUDIT_SLICE_ORDER_COUNT
            after_key, last_key = self._after_key, None
            if not self._is_over:
                self._after_order_id = items[-1].order_id
                self._after_key = last_key = credit_key(items[-1].order_id)
            return _Slice(after_key, last_key, {credit_key(item.order_id): item for item in items})


async def _compare(fund_platform: FundPlatform, slice_: _Slice) -> AsyncIterator[_Comparison]:
    """Merge the orders and the credits of a slice: each order and each credit once."""
    item_by_key = slice_.item_by_key
    credits_ = (
        _fetch_in_order(fund_platform.proof, slice_.after_key, slice_.last_key)
        if fund_platform.proof
        else _fetch_by_key(fund_platform.credits, list(item_by_key))
    )
    async for credit in credits_:
        key = credit.idempotency_key
        yield _Comparison(key, item_by_key.pop(key, None), credit)
    for key, item in item_by_key.items():
        yield _Comparison(key, item, None)


async def _fetch_by_key(credits_: Credits, keys: Sequence[str]) -> AsyncIterator[LedgerCredit]:
    """Look up the credits of a slice's orders; a credit of no order is not found this way."""
    for credit in await credits_.fetch_credits_of(keys):
        yield credit


async def _fetch_in_order(proof: LedgerProof, after_key: str, last_key: str | None) -> AsyncIterator[LedgerCredit]:
    """Read the credits after one key up to another, or up to the end; what a slice brings beyond is not used.

    It would be older than the items of the next slice.
    """
    while True:
        found = await proof.fetch_credits(after_key, limits.AUDIT_SLICE_ORDER_COUNT)
        for credit in found:
            if last_key and credit.idempotency_key > last_key:
                return
            yield credit
        if len(found) < limits.AUDIT_SLICE_ORDER_COUNT:
            return
        after_key = found[-1].idempotency_key


async def _compare_again(store: SettlementStore, fund_platform: FundPlatform, key: str) -> _Comparison:
    """Read one order's credit, then its item.

    A credit that is there stays, so the item read after it has what belongs to it: a claim, and no refusal. An item
    that was settled stays settled, and was so before its credit is now asked for again.
    """
    credit = await _fetch_credit(fund_platform.credits, key)
    order_id = order_id_of_credit_key(key)
    item = await store.audit.fetch_item_of_order(order_id) if credit_key(order_id) == key else None
    return _Comparison(key, item, credit)


async def _fetch_credit(credits_: Credits, key: str) -> LedgerCredit | None:
    return next(iter(await credits_.fetch_credits_of([key])), None)


def _judge(comparison: _Comparison) -> Break | None:
    """What is wrong with an order, if anything."""
    item, credit = comparison.item, comparison.credit
    if item is None or item.outcome == MISSING:
        return _judge_without_item(comparison)
    kind = _kind_with_credit(item, credit) if credit else _kind_without_credit(item)
    if kind is None:
        return None
    reason = f" for {item.reason_code}" if item.reason_code else ""
    credited = f"its credit of {describe_payload(credit)}" if credit else f"no credit {comparison.key}"
    in_batch = f"In batch {item.batch_id} it is {item.outcome}{reason} with {describe_payload(item)}"
    detail = f"{in_batch}; the ledger has {credited}."
    return Break(kind=kind, id=item.order_id, detail=detail)


def _kind_without_credit(item: LatestItem) -> str | None:
    """What is wrong with an order that has no credit, if anything."""
    if item.outcome == Outcome.SETTLED:
        return "settled_without_credit"
    return "conflict_unfounded" if item.reason_code == ReasonCode.PAYLOAD_CONFLICT else None


def _kind_with_credit(item: LatestItem, credit: LedgerCredit) -> str | None:
    """What is wrong with an order that has a credit, if anything."""
    has_its_payload = payload_of(item) == payload_of(credit)
    if item.outcome in RELEASING_OUTCOMES:
        return "credit_of_rejected"
    if item.reason_code == ReasonCode.NOT_ATTEMPTED:
        return "credit_of_unattempted"
    if item.reason_code == ReasonCode.PAYLOAD_CONFLICT and has_its_payload:
        return "conflict_unfounded"
    if item.outcome == Outcome.SETTLED and not has_its_payload:
        return "credit_differs"
    return None


def _judge_without_item(comparison: _Comparison) -> Break | None:
    if comparison.item:
        credited = f"has a credit of {describe_payload(comparison.credit)}" if comparison.credit else "has no credit"
        detail = f"The item that the order's claim names is missing, or another one. The ledger {credited} for it."
        return Break(kind="item_missing", id=comparison.item.order_id, detail=detail)
    if comparison.credit:
        detail = (
            f"The ledger has a credit of {describe_payload(comparison.credit)}, but no order with a claim has this key."
        )
        return Break(kind="credit_without_item", id=comparison.key, detail=detail)
    return None
