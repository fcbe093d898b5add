"""The answer to "why was this order not paid?", in sentences for people."""

from collections.abc import Sequence
from types import MappingProxyType
from typing import NamedTuple

from domain.identifiers import credit_key
from domain.order_payloads import payload_of
from schemas.audit import Break
from schemas.item_outcomes import PENDING
from schemas.ledger import CreditResultCode
from schemas.next_steps import AUDIT, NextStep, NextStepKind
from schemas.order_life import CreditLife, CreditPosting, CurrentRecord, OrderItem
from schemas.wire.batches import FINAL_STATES
from schemas.wire.reasons import REASON_SENTENCES, Outcome, ReasonCode

_ADVICE_WHEN_HELD = MappingProxyType(
    {
        ReasonCode.OUTCOME_UNKNOWN: "A rerun requests the credit again under the same key, so nothing is paid twice.",
        ReasonCode.PAYLOAD_CONFLICT: "If that credit is right, correct the order's record to match it. Then rerun it.",
    }
)


class OrderAnswer(NamedTuple):
    """An answer, advice, and the next step in Settle that helps, if any."""

    sentence: str
    advice: str | None = None
    next_step: NextStep | None = None


def plan_answer(
    order_id: str,
    record: CurrentRecord | None,
    items: Sequence[OrderItem],
    credit: CreditLife,
    *,
    is_broken: bool,
) -> OrderAnswer:
    """Return the answer for an order of which at least one of the systems has data.

    Args:
        order_id: the order's id.
        record: the Order Center's record; None if there is none.
        items: the order's items, oldest first.
        credit: what the Fund Platform holds under the order's key.
        is_broken: whether the systems contradict each other about the order.
    """
    if is_broken:
        return OrderAnswer(f"The systems contradict each other about order {order_id}.", next_step=AUDIT)
    if items:
        return _answer_by_item(record, items[-1], credit, f"Order {order_id}")
    if record is None:
        return OrderAnswer(f"Only the Fund Platform knows order {order_id}: it got a request for its credit.")
    known = f"Order {order_id} is in the Order Center but was never taken into a batch"
    if record.is_offered:
        return OrderAnswer(f"{known}.", _offered_text(record))
    return OrderAnswer(
        f"{known}. Its record is acknowledged, so it is not offered.", "It is offered again when its record changes."
    )


def plan_item_breaks(items: Sequence[OrderItem]) -> list[Break]:
    """Return the breaks between an order's items and their batches that the audit would name."""
    return [
        Break(
            kind="closed_with_pending",
            id=item.batch_id,
            detail=f"The batch is {item.batch_state}, but the order is pending in it.",
        )
        for item in items
        if item.outcome == PENDING and item.batch_state in FINAL_STATES
    ]


def plan_credit_breaks(order_id: str, credit: CreditLife) -> list[Break]:
    """Return the breaks between an order's postings and the stored answer that the audit would name."""
    answer, postings = credit.answer, credit.postings
    created = answer if answer and answer.result_code == CreditResultCode.CREATED else None
    found = []
    if created and not postings:
        found.append(("answer_without_posting", "The answer says that it was credited, but no posting has this key."))
    if postings and not created:
        found.append(("posting_without_answer", "A posting has this key, but no stored answer says it was created."))
    if created and any(payload_of(posting) != payload_of(created) for posting in postings):
        found.append(("posting_differs_from_answer", "The posting has another account, amount or currency."))
    if len(postings) > 1:
        found.append(("duplicate_credit", f"The key has {len(postings)} postings."))
    return [Break(kind=kind, id=credit_key(order_id), detail=detail) for kind, detail in found]


def _answer_by_item(record: CurrentRecord | None, item: OrderItem, credit: CreditLife, order: str) -> OrderAnswer:
    place = f"in batch {item.batch_id}"
    rerun = NextStep(kind=NextStepKind.RERUN_BATCH, subject=item.batch_id)
    credited = " ".join(_credited_text(posting) for posting in credit.postings)
    reason = REASON_SENTENCES[item.reason_code] if item.reason_code else ""
    match item.outcome:
        case Outcome.SETTLED:
            return OrderAnswer(f"{order} was settled {place}: {credited}")
        case Outcome.HELD:
            found = f" The ledger holds this credit: {credited}" if credited else ""
            advice = _ADVICE_WHEN_HELD.get(item.reason_code or ReasonCode.NOT_ATTEMPTED)
            return OrderAnswer(f"{order} is held {place}: {reason}{found}", advice, rerun)
        case Outcome.REJECTED | Outcome.FAILED:
            fate = "was rejected" if item.outcome == Outcome.REJECTED else "failed"
            if record and record.is_offered:
                return OrderAnswer(f"{order} {fate} {place}: {reason}", _offered_text(record))
            return OrderAnswer(
                f"{order} {fate} {place}: {reason}",
                "It comes in again when its record changes. Or repair the cause and rerun it.",
                rerun,
            )
    again = " Its credit may exist and is requested again." if item.inherits_unknown else ""
    return OrderAnswer(
        f"{order} is pending {place} ({item.batch_state}).{again}",
        next_step=NextStep(kind=NextStepKind.WATCH_BATCH, subject=item.batch_id),
    )


def _credited_text(posting: CreditPosting) -> str:
    on = f" on {posting.posted_at:%Y-%m-%d %H:%M:%S %Z}" if posting.posted_at else ""
    return f"{posting.amount_minor:,} minor units of {posting.currency} credited to account {posting.account_id}{on}."


def _offered_text(record: CurrentRecord) -> str:
    return (
        "It is offered to the first run whose cutoff is after the end of its after-sale period, "
        f"{record.after_sale_ends_at:%Y-%m-%d %H:%M:%S %Z}."
    )
