"""The events on Kafka, a contract with other systems. Their bounds and patterns are frozen for each `schema_version`.

`schemas/json/` has the JSON Schemas of these models. Unknown fields are ignored, so producers may add fields.
"""

import re
from datetime import datetime
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from schemas.wire.reasons import Outcome

IDENTIFIER_LENGTH_MAX = 64
EVENT_ID_LENGTH_MAX = 200
AMOUNT_MINOR_MAX = 10**10 - 1

# Printable characters, and blanks only between them. The order file has the same rule.
_IDENTIFIER_PATTERN = r"^[^\p{C}\p{Z}]( *[^\p{C}\p{Z}])*$"
_MOMENT_PATTERN = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})$"
_MOMENT = re.compile(_MOMENT_PATTERN)


def _moment_of(value: object) -> object:
    """Read RFC 3339 only. Pydantic alone would read a string of digits as seconds since 1970."""
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str) or not _MOMENT.fullmatch(value):
        raise ValueError("should be a date and time with a zone, such as 2026-11-22T00:00:00Z")
    return datetime.fromisoformat(value)


# Not Literal[1], which true and 1.0 equal.
SchemaVersion = Annotated[int, Field(strict=True, ge=1, le=1), WithJsonSchema({"type": "integer", "const": 1})]
Identifier = Annotated[str, Field(min_length=1, max_length=IDENTIFIER_LENGTH_MAX, pattern=_IDENTIFIER_PATTERN)]
EventId = Annotated[str, Field(min_length=1, max_length=EVENT_ID_LENGTH_MAX, pattern=_IDENTIFIER_PATTERN)]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
Moment = Annotated[
    AwareDatetime,
    BeforeValidator(_moment_of),
    WithJsonSchema({"type": "string", "format": "date-time", "pattern": _MOMENT_PATTERN}),
]


class OverdueEvent(BaseModel):
    """The announcement on `orders.overdue` of an order whose after-sale period is over."""

    # Read it with `model_validate_json(value, strict=True)`.
    model_config = ConfigDict(frozen=True)

    schema_version: SchemaVersion
    event_id: EventId
    order_id: Identifier
    account_id: Identifier
    amount_minor: Annotated[int, Field(strict=True, ge=0, le=AMOUNT_MINOR_MAX, description="In minor units.")]
    currency: Annotated[Currency, Field(description="ISO 4217, or PTS for points.")]
    after_sale_ends_at: Moment


BulkEvent = Annotated[list[OverdueEvent], Field(min_length=1)]


class SettlementResult(BaseModel):
    """The outcome of an order. It is published to `settlement.results` at least once, with the order's id as key.

    A consumer that keeps the event with the highest `outcome_no` of each order ends with the latest outcome.
    """

    model_config = ConfigDict(frozen=True, json_schema_serialization_defaults_required=True)

    schema_version: SchemaVersion = 1
    event_id: Annotated[str, Field(description="The same each time the event is published.")]
    order_id: str
    account_id: str
    batch_id: str
    amount_minor: Annotated[int, Field(description="In minor units.")]
    currency: str
    outcome: Outcome
    reason_code: Annotated[
        str | None, Field(description="Null for a settled order. More codes may be added. See the glossary.")
    ]
    outcome_no: Annotated[int, Field(ge=1, description="Starts at 1. A later outcome of the order has a higher one.")]
    stored_at: Annotated[AwareDatetime, Field(description="When the outcome was stored.")]
