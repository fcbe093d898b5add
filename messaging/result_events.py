"""Turn an outcome into an event on `settlement.results`. Pure."""

from typing import NamedTuple

from domain.identifiers import result_event_id
from schemas.outbox import OutboxRow, StoredOutcome
from schemas.wire.events import SettlementResult
from schemas.wire.reasons import Outcome

_CLOUD_EVENT = (
    ("ce_specversion", b"1.0"),
    ("ce_source", b"settle"),
    ("ce_type", b"settlement.result.v1"),
    ("content-type", b"application/json"),
)


class ResultRecord(NamedTuple):
    """A Kafka record: CloudEvents 1.0 in binary mode. Its key, the order's id, keeps the order's events in order."""

    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


def result_record(row: OutboxRow, outcome: StoredOutcome) -> ResultRecord:
    """Return the record of an outcome. It is the same each time that it is delivered."""
    event = SettlementResult(
        event_id=result_event_id(outcome.order_id, outcome.claim_no),
        order_id=outcome.order_id,
        account_id=outcome.account_id,
        batch_id=row.batch_id,
        amount_minor=outcome.amount_minor,
        currency=outcome.currency,
        outcome=Outcome(outcome.outcome),
        reason_code=outcome.reason_code,
        outcome_no=outcome.claim_no,
        stored_at=row.stored_at,
    )
    return ResultRecord(
        key=event.order_id.encode(),
        value=event.model_dump_json().encode(),
        headers=[
            *_CLOUD_EVENT,
            ("ce_id", event.event_id.encode()),
            ("ce_time", row.stored_at.isoformat().encode()),
        ],
    )
