"""The answers of `settle order` describe an order's life correctly."""

from datetime import UTC, date, datetime
from typing import Any

import pytest

from domain.order_answers import plan_answer, plan_credit_breaks, plan_item_breaks
from schemas.ledger import CreditResultCode
from schemas.next_steps import AUDIT
from schemas.order_life import CreditAnswer, CreditLife, CreditPosting, CurrentRecord, OrderItem
from schemas.orders import OrderStatus
from schemas.wire.batches import BatchSource, BatchState
from schemas.wire.reasons import ReasonCode
from starters.next_steps import word_next_step

AT = datetime(2026, 11, 23, 6, tzinfo=UTC)
CURRENT_RECORD = CurrentRecord(
    order_id="O1",
    account_id="A1",
    paid_minor=1_234,
    refunded_minor=0,
    amount_minor=1_234,
    currency="USD",
    status=OrderStatus.COMPLETED,
    completed_at=AT,
    after_sale_ends_at=AT,
    version=7,
    is_offered=False,
)
OFFERED = CURRENT_RECORD.model_copy(update={"is_offered": True})
ANSWER = CreditAnswer(
    result_code=CreditResultCode.CREATED, claim_no=1, account_id="A1", amount_minor=1_234, currency="USD"
)
POSTING = CreditPosting(
    entry_id=3, reference="B1.chunk-000000", posted_at=AT, account_id="A1", amount_minor=1_234, currency="USD"
)
NO_CREDIT = CreditLife(answer=None, postings=[])
CREDITED = CreditLife(answer=ANSWER, postings=[POSTING])
CREDITED_TEXT = "1,234 minor units of USD credited to account A1 on 2026-11-23 06:00:00 UTC."
OFFERED_TEXT = (
    "It is offered to the first run whose cutoff is after the end of its after-sale period, 2026-11-23 06:00:00 UTC."
)


def item_of(outcome: str, reason_code: ReasonCode | None = None, **changes: Any) -> OrderItem:
    item = OrderItem(
        batch_id="B1",
        batch_source=BatchSource.MANUAL,
        batch_state=BatchState.RUNNING,
        business_date=date(2026, 11, 23),
        item_no=0,
        chunk_index=0,
        claim_no=1,
        inherits_unknown=False,
        account_id="A1",
        amount_minor=1_234,
        currency="USD",
        outcome=outcome,
        reason_code=reason_code,
        detail=None,
        stored_at=None,
    )
    return item.model_copy(update=changes)


REJECTED = item_of("rejected", ReasonCode.ORDER_DISPUTED)
REJECTED_TEXT = "Order O1 was rejected in batch B1: The customer disputes the order."
RERUN_TEXT = "It comes in again when its record changes. Or repair the cause and rerun it. Run: settle rerun B1"
UNKNOWN_TEXT = "A credit was possibly requested and its answer is not known; it may exist."

CASES: dict[str, tuple[CurrentRecord | None, list[OrderItem], CreditLife, str, str | None]] = {
    "settled": (
        CURRENT_RECORD,
        [REJECTED, item_of("settled", batch_id="B2", claim_no=2)],
        CREDITED,
        f"Order O1 was settled in batch B2: {CREDITED_TEXT}",
        None,
    ),
    "rejected": (CURRENT_RECORD, [REJECTED], NO_CREDIT, REJECTED_TEXT, RERUN_TEXT),
    "rejected, not on record": (None, [REJECTED], NO_CREDIT, REJECTED_TEXT, RERUN_TEXT),
    "rejected and repaired": (OFFERED, [REJECTED], NO_CREDIT, REJECTED_TEXT, OFFERED_TEXT),
    "failed": (
        CURRENT_RECORD,
        [item_of("failed", ReasonCode.ACCOUNT_CLOSED)],
        NO_CREDIT,
        "Order O1 failed in batch B1: The account is closed.",
        RERUN_TEXT,
    ),
    "pending": (
        CURRENT_RECORD,
        [item_of("pending")],
        NO_CREDIT,
        "Order O1 is pending in batch B1 (running).",
        "Follow it with: settle watch B1",
    ),
    "pending, unknown": (
        CURRENT_RECORD,
        [item_of("pending", inherits_unknown=True)],
        NO_CREDIT,
        "Order O1 is pending in batch B1 (running). Its credit may exist and is requested again.",
        "Follow it with: settle watch B1",
    ),
    "held, unknown": (
        CURRENT_RECORD,
        [item_of("held", ReasonCode.OUTCOME_UNKNOWN)],
        NO_CREDIT,
        f"Order O1 is held in batch B1: {UNKNOWN_TEXT}",
        "A rerun requests the credit again under the same key, so nothing is paid twice. Run: settle rerun B1",
    ),
    "held, credited": (
        CURRENT_RECORD,
        [item_of("held", ReasonCode.OUTCOME_UNKNOWN)],
        CREDITED,
        f"Order O1 is held in batch B1: {UNKNOWN_TEXT} The ledger holds this credit: {CREDITED_TEXT}",
        "A rerun requests the credit again under the same key, so nothing is paid twice. Run: settle rerun B1",
    ),
    "held, not attempted": (
        OFFERED,
        [item_of("held", ReasonCode.NOT_ATTEMPTED)],
        NO_CREDIT,
        "Order O1 is held in batch B1: The order was not processed; no credit was requested.",
        "Run: settle rerun B1",
    ),
    "held, conflict": (
        CURRENT_RECORD,
        [item_of("held", ReasonCode.PAYLOAD_CONFLICT, amount_minor=5)],
        CREDITED,
        "Order O1 is held in batch B1: This order was credited before with another account, amount or currency. "
        f"The ledger holds this credit: {CREDITED_TEXT}",
        "If that credit is right, correct the order's record to match it. Then rerun it. Run: settle rerun B1",
    ),
    "offered": (
        OFFERED,
        [],
        NO_CREDIT,
        "Order O1 is in the Order Center but was never taken into a batch.",
        OFFERED_TEXT,
    ),
    "acknowledged": (
        CURRENT_RECORD,
        [],
        NO_CREDIT,
        "Order O1 is in the Order Center but was never taken into a batch. Its record is acknowledged, so it is not "
        "offered.",
        "It is offered again when its record changes.",
    ),
    "refused long ago": (
        None,
        [],
        CreditLife(answer=ANSWER, postings=[]),
        "Only the Fund Platform knows order O1: it got a request for its credit.",
        None,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_latest_item_gives_the_answer_and_the_next_step(name: str) -> None:
    record, items, credit, sentence, next_step = CASES[name]
    answer = plan_answer("O1", record, items, credit, is_broken=False)
    command = word_next_step(answer.next_step) if answer.next_step else None
    assert answer.sentence == sentence
    assert (" ".join(filter(None, (answer.advice, command))) or None) == next_step


def test_a_broken_order_is_never_answered_as_if_it_were_sound() -> None:
    answer = plan_answer("O1", CURRENT_RECORD, [item_of("settled")], NO_CREDIT, is_broken=True)
    assert answer == ("The systems contradict each other about order O1.", None, AUDIT)


@pytest.mark.parametrize("items", [[], [REJECTED], [item_of("pending")], [item_of("settled")]])
@pytest.mark.parametrize(
    "credit",
    [
        NO_CREDIT,
        CREDITED,
        CreditLife(answer=ANSWER.model_copy(update={"result_code": CreditResultCode.ACCOUNT_CLOSED}), postings=[]),
    ],
    ids=["none", "credited", "refused"],
)
def test_sound_lives_have_no_break(items: list[OrderItem], credit: CreditLife) -> None:
    assert [*plan_item_breaks(items), *plan_credit_breaks("O1", credit)] == []


@pytest.mark.parametrize(
    ("items", "credit", "kind"),
    [
        (
            [item_of("pending", batch_state=BatchState.CLOSED)],
            NO_CREDIT,
            "closed_with_pending",
        ),
        ([], CREDITED.model_copy(update={"postings": []}), "answer_without_posting"),
        ([], CREDITED.model_copy(update={"answer": None}), "posting_without_answer"),
        (
            [],
            CreditLife(answer=ANSWER, postings=[POSTING.model_copy(update={"amount_minor": 1})]),
            "posting_differs_from_answer",
        ),
        ([], CreditLife(answer=ANSWER, postings=[POSTING, POSTING]), "duplicate_credit"),
    ],
)
def test_each_break_is_named_as_the_audit_names_it(items: list[OrderItem], credit: CreditLife, kind: str) -> None:
    [found] = [*plan_item_breaks(items), *plan_credit_breaks("O1", credit)]
    assert found.kind == kind
    assert found.id == ("B1" if items else "credit:O1")
