"""Compare every order with the ledger, and check both systems for internal consistency.

The two systems share no database. The audit reads the items and the credits in slices, sorted by the same key, and
merges them here in constant memory. It processes several slices concurrently to keep both systems busy. It may run at
any time, including while batches are filled and settled:

- In each slice it reads the items first and the ledger second. A settled item's credit was posted before the item was
  settled, so the ledger read includes it. A credit posted between the two reads belongs to an item that was read as
  pending, and counts as unconfirmed.
- It reads each suspected break again, this time the ledger first and the item second. After the items of its slice were
  read, a batch may have taken the order, for the first time or again, and had it credited.
- It checks each system's internal consistency in one snapshot, which shows every transaction either whole or not at
  all.
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
    "credits without an order, journal entries, balances and stored answers, because the Fund Platform offers no proof "
    "of its ledger"
)


class _Comparison(NamedTuple):
    """One order in both systems: its idempotency key, its latest item and its credit."""

    key: str
    item: LatestItem | None
    credit: LedgerCredit | None


async def audit(
    store: SettlementStore, fund_platform: FundPlatform, on_slice: Callable[[int], None] = lambda _order_count: None
) -> AuditReport:
    """Check rules 1 to 5 of `docs/explanation/architecture.md` over all orders, with the plans, items and ledger.

    If the Fund Platform offers no proof of its ledger, the audit looks up each order's credit by its key. The report
    lists the checks that it then leaves out.

    It only reads, in slices of `limits.AUDIT_SLICE_ORDER_COUNT` orders. Every break that it reports is real, whatever
    runs concurrently. The report has at most `limits.AUDIT_BREAK_COUNT_MAX` breaks, and at least one of each kind that
    was found. If there are more, a break of kind `more_breaks` at the end says so.

    Args:
        store: holds the items.
        fund_platform: holds the ledger.
        on_slice: called with the number of orders in each slice once the slice is compared.
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
    """Compare one order with the ledger as the audit does. Return None if nothing is wrong with it."""
    key = credit_key(order_id)
    item = await store.audit.fetch_item_of_order(order_id)
    if _judge(_Comparison(key, item, await _fetch_credit(fund_platform.credits, key))) is None:
        return None
    return _judge(await _compare_again(store, fund_platform, key))


class _Slice(NamedTuple):
    """The latest items of a range of orders, by key. The range starts after `after_key` and ends with `last_key`.

    Ranges do not overlap. The last slice has no last key. It covers the rest of the ledger.
    """

    after_key: str
    last_key: str | None
    item_by_key: dict[str, LatestItem]


class _Slices:
    """All orders, slice by slice in key order, for several concurrent consumers."""

    def __init__(self, store: SettlementStore) -> None:
        self._store = store
        self._reading = asyncio.Lock()
        self._after_order_id = ""
        self._after_key = ""
        self._is_over = False

    async def fetch_next(self) -> _Slice | None:
        """Return the next slice, or None after the last one. The last slice may be empty."""
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
    """Merge the orders and the credits of a slice. Yield each order and each credit once."""
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
    """Look up the credits of a slice's orders. This finds no credit that has no order."""
    for credit in await credits_.fetch_credits_of(keys):
        yield credit


async def _fetch_in_order(proof: LedgerProof, after_key: str, last_key: str | None) -> AsyncIterator[LedgerCredit]:
    """Read the credits after one key up to another, or up to the end.

    Credits beyond the last key are dropped. The next slice reads its items later, so it must read their credits again.
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

    A credit is permanent and is posted only for an item. An item that is read after its credit must therefore exist,
    and it must not be rejected or failed. A settled item stays settled. If the first comparison read it as settled, its
    credit is older than this read and must be found.
    """
    credit = await _fetch_credit(fund_platform.credits, key)
    order_id = order_id_of_credit_key(key)
    item = await store.audit.fetch_item_of_order(order_id) if credit_key(order_id) == key else None
    return _Comparison(key, item, credit)


async def _fetch_credit(credits_: Credits, key: str) -> LedgerCredit | None:
    return next(iter(await credits_.fetch_credits_of([key])), None)


def _judge(comparison: _Comparison) -> Break | None:
    """Return what is wrong with an order, or None."""
    item, credit = comparison.item, comparison.credit
    if item is None or item.outcome == MISSING:
        return _judge_without_item(comparison)
    kind = _kind_with_credit(item, credit) if credit else _kind_without_credit(item)
    if kind is None:
        return None
    reason = f" for {item.reason_code}" if item.reason_code else ""
    credited = f"its credit of {describe_payload(credit)}" if credit else f"no credit {comparison.key}"
    in_batch = f"In batch {item.batch_id} it is {item.outcome}{reason} with {describe_payload(item)}"
    detail = f"{in_batch}. The ledger has {credited}."
    return Break(kind=kind, id=item.order_id, detail=detail)


def _kind_without_credit(item: LatestItem) -> str | None:
    """Return the kind of break of an order without a credit, or None."""
    if item.outcome == Outcome.SETTLED:
        return "settled_without_credit"
    return "conflict_unfounded" if item.reason_code == ReasonCode.PAYLOAD_CONFLICT else None


def _kind_with_credit(item: LatestItem, credit: LedgerCredit) -> str | None:
    """Return the kind of break of an order with a credit, or None."""
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
        detail = (
            "The order's claim points to an item that is missing or does not match the claim. "
            f"The ledger {credited} for the order."
        )
        return Break(kind="item_missing", id=comparison.item.order_id, detail=detail)
    if comparison.credit:
        detail = (
            f"The ledger has a credit of {describe_payload(comparison.credit)}, but Settle has no claim for this key."
        )
        return Break(kind="credit_without_item", id=comparison.key, detail=detail)
    return None
