"""The outbox: ranges of items whose outcomes are not delivered yet."""

from datetime import datetime
from typing import NamedTuple

from schemas.wire.reasons import Outcome


class OutboxRow(NamedTuple):
    """A step that stored outcomes of the items `item_start` (inclusive) to `item_end` (exclusive) of a batch.

    `step` is the state that the chunk went to: `validated` stored rejects, `closed` stored all other outcomes.
    `buckets` are the requested buckets that are not delivered yet.
    """

    outbox_no: int
    batch_id: str
    item_start: int
    item_end: int
    step: str
    stored_at: datetime
    buckets: frozenset[int]


class StoredOutcome(NamedTuple):
    """An item's outcome, with its frozen payload. `reason_code` is None for a settled item."""

    order_id: str
    account_id: str
    amount_minor: int
    currency: str
    claim_no: int
    outcome: Outcome
    reason_code: str | None
