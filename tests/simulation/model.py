"""The model that a simulation is compared with: single-threaded, in plain dictionaries, without Settle's logic.

It gets everything that reached the systems, in order: loaded records and requested credits. From these it derives what
the ledger must contain and which outcomes each item may have.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import NamedTuple

from schemas.ledger import CreditRequest
from schemas.order_life import OrderItem
from schemas.orders import OrderRecord

_REASON_BY_STATUS = {
    "disputed": "ORDER_DISPUTED",
    "unpaid": "ORDER_UNPAID",
    "cancelled": "ORDER_CANCELLED",
    "refunding": "REFUND_IN_PROGRESS",
}
_REASON_BY_REFUSAL = {
    "missing": "ACCOUNT_NOT_FOUND",
    "closed": "ACCOUNT_CLOSED",
    "other currency": "ACCOUNT_CURRENCY_DIFFERS",
    "withdrawn": "DATA_ERROR",
}
# The frozen format of an order's idempotency key.
_KEY_OF_ORDER = "credit:{}"
_FINAL_STATES = ("closed", "aborted", "out_of_balance")
_MAY_BE_CREDITED = ("OUTCOME_UNKNOWN", "PAYLOAD_CONFLICT")


class Credit(NamedTuple):
    """A credit that is or must be in the ledger."""

    account_id: str
    amount_minor: int
    currency: str


class Model:
    """The expected state of the systems after everything that reached them."""

    def __init__(self) -> None:
        self._credits: dict[str, Credit] = {}
        self._refused_claim_nos: Counter[str] = Counter()
        self._records: defaultdict[str, list[OrderRecord | None]] = defaultdict(list)
        self._claims_asked_for: set[tuple[str, int]] = set()
        self._answers: dict[tuple[str, int], str] = {}
        self.may_be_held: set[tuple[str, int | None]] = set()
        self.may_fail: set[tuple[str, int | None]] = set()
        self.unreadable_order_ids: set[str] = set()
        self.unanswerable_order_ids: set[str] = set()

    def load(self, record: OrderRecord) -> None:
        """Note that a record was loaded into the Order Center."""
        self._records[record.order_id].append(record)

    def announce(self, order_id: str) -> None:
        """Note that an order was announced. If its record is not loaded yet, validation may find it missing."""
        if not self._records[order_id]:
            self._records[order_id].append(None)

    def credit_before(self, order_id: str, credit: Credit) -> None:
        """Note that an order was credited before Settle."""
        self._credits[_KEY_OF_ORDER.format(order_id)] = credit

    def ask(self, request: CreditRequest) -> None:
        """Note that a credit was requested, whether or not the request arrives."""
        self._claims_asked_for.add(request[:2])

    def judge(self, request: CreditRequest, account: str) -> None:
        """Note that a request to post or withdraw a credit arrived at the Fund Platform.

        Args:
            request: the credit.
            account: the account's state, such as `open`, or `withdrawn` for a withdrawal.
        """
        key, claim_no, payload = request.idempotency_key, request.claim_no, Credit(*request[2:])
        credited = self._credits.get(key)
        if credited:
            self._answers.setdefault((key, claim_no), "settled" if credited == payload else "PAYLOAD_CONFLICT")
        elif claim_no > self._refused_claim_nos[key]:
            if account == "open":
                self._credits[key] = payload
            else:
                self._refused_claim_nos[key] = claim_no
            self._answers[key, claim_no] = "settled" if account == "open" else _REASON_BY_REFUSAL[account]

    def find_ledger_faults(self, postings: Iterable[tuple[str, str, int, str]]) -> list[str]:
        """Return a sentence for each difference between the ledger and the model.

        Args:
            postings: the ledger's credits as key, account, amount and currency.
        """
        found = Counter((key, Credit(account_id, amount, currency)) for key, account_id, amount, currency in postings)
        wanted = Counter(self._credits.items())
        return [
            *(f"the ledger has {count} credits too many: {credit}" for credit, count in (found - wanted).items()),
            *(f"the ledger lacks {count} credits: {credit}" for credit, count in (wanted - found).items()),
        ]

    def find_order_faults(
        self, items: Sequence[OrderItem], order_id: str, cutoff_by_batch: Mapping[str, datetime]
    ) -> list[str]:
        """Return a sentence for each of an order's items, oldest first, that has no allowed outcome."""
        faults = []
        if [item.claim_no for item in items] != list(range(1, len(items) + 1)):
            faults.append(f"claim numbers {[item.claim_no for item in items]}")
        live = [item for item in items if item.outcome in ("settled", "pending")]
        if len(live) > 1 or (live and live[-1] != items[-1]):
            faults.append(f"an item that is not the latest is live: {live[0]}")
        for item in items:
            fault = self._find_item_fault(item, order_id, cutoff_by_batch[item.batch_id])
            if fault:
                faults.append(f"{item.outcome} for {item.reason_code} in {item.batch_id}, but {fault}; {item.detail}")
        for before, item in pairwise(items):
            fault = _find_fault_of_succession(before, item)
            if fault:
                faults.append(f"in {item.batch_id} after {before.reason_code} in {before.batch_id}: {fault}")
        return [f"{order_id}: {fault}" for fault in faults]

    def _find_item_fault(self, item: OrderItem, order_id: str, cutoff_at: datetime) -> str | None:
        claim = (_KEY_OF_ORDER.format(order_id), item.claim_no)
        outcome = item.outcome if item.outcome in ("settled", "pending") else str(item.reason_code)
        if outcome == "pending":
            return "its batch is final" if item.batch_state in _FINAL_STATES else None
        if item.outcome == "held" and outcome != "PAYLOAD_CONFLICT":
            return self._find_fault_of_held(item, order_id)
        answer = self._answers.get(claim)
        if answer:
            return None if outcome == answer else f"the answer was {answer}"
        verdicts = set() if item.inherits_unknown else self._verdicts(item, order_id, cutoff_at)
        if (item.outcome, outcome) not in verdicts:
            return f"no answer came, and its records give {sorted(map(str, verdicts))}"
        return "its credit was asked for" if claim in self._claims_asked_for else None

    def _find_fault_of_held(self, item: OrderItem, order_id: str) -> str | None:
        chunk = (item.batch_id, item.chunk_index)
        if item.reason_code == "OUTCOME_UNKNOWN":
            may_be = chunk in self.may_be_held or order_id in self.unanswerable_order_ids
            return None if may_be else "nothing ended its chunk"
        if chunk not in self.may_be_held:
            return "nothing ended its chunk"
        if (_KEY_OF_ORDER.format(order_id), item.claim_no) in self._claims_asked_for:
            return "its credit was asked for"
        return "an earlier credit may exist" if item.inherits_unknown else None

    def _verdicts(self, item: OrderItem, order_id: str, cutoff_at: datetime) -> set[tuple[str, str]]:
        """Return the outcomes and reasons that validation may give the item for each version of its record."""
        reasons = {_verdict(item, record, cutoff_at) for record in self._records[order_id]}
        verdicts = {("rejected", reason) for reason in reasons if reason}
        if order_id in self.unreadable_order_ids or (item.batch_id, item.chunk_index) in self.may_fail:
            verdicts.add(("failed", "DATA_ERROR"))
        return verdicts


def _verdict(item: OrderItem, record: OrderRecord | None, cutoff_at: datetime) -> str | None:
    if record is None:
        return "ORDER_UNKNOWN"
    if item.amount_minor != record.paid_minor - record.refunded_minor:
        return "AMOUNT_DIFFERS"
    if record.status in _REASON_BY_STATUS:
        return _REASON_BY_STATUS[record.status]
    if record.after_sale_ends_at >= cutoff_at:
        return "AFTER_SALE_NOT_OVER"
    return "FULLY_REFUNDED" if record.refunded_minor else None


def _find_fault_of_succession(before: OrderItem, item: OrderItem) -> str | None:
    """Return what is wrong with an item that followed another one of its order, or None."""
    is_unknown = before.reason_code in _MAY_BE_CREDITED
    if is_unknown != item.inherits_unknown:
        return "it inherits the unknown" if item.inherits_unknown else "it does not inherit the unknown"
    if before.reason_code == "OUTCOME_UNKNOWN" and _payload(before) != _payload(item):
        return f"it has another payload, {_payload(item)} after {_payload(before)}"
    return None


def _payload(item: OrderItem) -> Credit:
    return Credit(item.account_id, item.amount_minor, item.currency)
