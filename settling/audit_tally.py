"""The audit's running totals: orders and credits by row of the report and currency, and the breaks found."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from itertools import chain, zip_longest

from domain import limits
from domain.control_totals import totals_of
from schemas.audit import Break, LatestItem
from schemas.item_outcomes import MISSING, PENDING
from schemas.ledger import LedgerCredit
from schemas.wire.reasons import Outcome
from schemas.wire.totals import ControlTotals

TOTALS = ("settled", "rejected", "failed", "held", "pending", "unconfirmed", "ledger")
_UNCONFIRMED_OUTCOMES = frozenset({PENDING, Outcome.HELD})


class Tally:
    """Counts and sums of orders, each counted once, and of credits, by row of the report and currency."""

    def __init__(self) -> None:
        self.order_count = 0
        self.oldest_pending_at: datetime | None = None
        self._counts: defaultdict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])

    def add(self, item: LatestItem | None, credit: LedgerCredit | None) -> None:
        """Count an order under the outcome of its latest item, and count its credit."""
        if item:
            self.order_count += 1
            if item.outcome != MISSING:
                self._count(item.outcome, item)
            if item.outcome == PENDING:
                self.oldest_pending_at = min(self.oldest_pending_at or item.opened_at, item.opened_at)
        if credit:
            self._count("ledger", credit)
            if item and item.outcome in _UNCONFIRMED_OUTCOMES:
                self._count("unconfirmed", credit)

    def _count(self, row: str, of: LatestItem | LedgerCredit) -> None:
        counts = self._counts[row, of.currency]
        counts[0] += 1
        counts[1] += of.amount_minor

    def totals(self) -> dict[str, ControlTotals]:
        """Return the control totals of each row."""
        return {
            row: totals_of(
                (currency, counts[0], counts[1]) for (of, currency), counts in self._counts.items() if of == row
            )
            for row in TOTALS
        }


class Breaks:
    """Breaks by kind. Of each kind it keeps one break more than the report can show, to detect that there are more."""

    def __init__(self) -> None:
        self.by_kind: dict[str, list[Break]] = {}

    def is_full(self, kind: str) -> bool:
        """Return whether further breaks of this kind are dropped."""
        return len(self.by_kind.get(kind, ())) > limits.AUDIT_BREAK_COUNT_MAX

    def add(self, found: Break | None) -> None:
        """Keep a break if there is one and its kind is not full."""
        if found and not self.is_full(found.kind):
            self.by_kind.setdefault(found.kind, []).append(found)

    def in_turn(self) -> list[Break]:
        """Return the breaks to show. If there are too many, the kinds alternate, so that no kind hides another."""
        turns: Iterable[Break | None] = chain.from_iterable(zip_longest(*self.by_kind.values()))
        found = [each for each in turns if each]
        if len(found) <= limits.AUDIT_BREAK_COUNT_MAX:
            return sorted(found, key=lambda each: (each.kind, each.id))
        shown = found[: limits.AUDIT_BREAK_COUNT_MAX]
        detail = f"There are more breaks than the {len(shown):,} shown. Repair these, then run the audit again."
        return [*shown, Break(kind="more_breaks", id="", detail=detail)]
