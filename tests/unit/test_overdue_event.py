"""Announced orders have only the allowed forms."""

import json
import sys
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from domain import limits
from schemas.wire.events import Identifier, OverdueEvent

GOOD: dict[str, Any] = {
    "schema_version": 1,
    "event_id": "e-1",
    "order_id": "O-1",
    "account_id": "A-1",
    "amount_minor": 1234,
    "currency": "USD",
    "after_sale_ends_at": "2026-11-22T00:00:00Z",
}
AMOUNT_MAX = 10**limits.AMOUNT_DIGIT_COUNT_MAX - 1


def read(text: str | bytes) -> OverdueEvent:
    return OverdueEvent.model_validate_json(text, strict=True)


def text_of(**changes: Any) -> str:
    return json.dumps(GOOD | changes)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"a_new_field": {"of": ["a", "producer"]}},
        {"amount_minor": 0},
        {"amount_minor": AMOUNT_MAX},
        {"currency": "XXX"},
        {"order_id": "Zoë's order № 7"},
        {"order_id": "x" * limits.IDENTIFIER_LENGTH_MAX},
        {"event_id": "x" * 200},
        {"after_sale_ends_at": "2026-11-22T00:00:00.123456789+05:30"},
    ],
)
def test_a_good_event_is_read(changes: dict[str, Any]) -> None:
    event = read(text_of(**changes))
    assert event.order_id == changes.get("order_id", "O-1")
    assert event.after_sale_ends_at.tzinfo


@pytest.mark.parametrize("field", GOOD)
def test_every_field_is_required(field: str) -> None:
    with pytest.raises(ValidationError, match="Field required"):
        read(json.dumps({name: value for name, value in GOOD.items() if name != field}))


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("schema_version", [0, 2, True, 1.0, "1", None]),
        ("event_id", ["", " ", "x" * 201, "a\0", 7, None]),
        ("order_id", ["", " a", "a ", "a\n", "a\0b", "a\u00a0b", "a\u200bb", "x" * 65, 7, None, ["a"]]),
        ("account_id", ["", " a", "a ", "a\n", "a\0b", "x" * 65, 7, None]),
        ("amount_minor", [-1, AMOUNT_MAX + 1, 10**400, 1.0, 1.5, True, "1", None, float("nan"), float("inf")]),
        ("currency", ["usd", "US", "USDT", "", "US1", "ÜSD", None, 840]),
        (
            "after_sale_ends_at",
            [
                "2026-11-22T00:00:00",
                "2026-11-22",
                "2026-11-22 00:00:00Z",
                "2026-13-22T00:00:00Z",
                "2026-11-22T00:00:00Z\n",
                "\uff12026-11-22T00:00:00Z",
                "1700000000",
                1_700_000_000,
                1.5,
                None,
                "",
            ],
        ),
    ],
)
def test_a_field_that_breaks_the_contract_is_refused(field: str, values: list[Any]) -> None:
    for value in values:
        with pytest.raises(ValidationError, match=field):
            read(text_of(**{field: value}))


def test_every_order_that_can_be_imported_can_be_announced() -> None:
    identifier = TypeAdapter(Identifier)
    printable = [char for char in map(chr, range(sys.maxunicode + 1)) if char.isprintable() and char != " "]
    assert len(printable) > 100_000
    for start in range(0, len(printable), limits.IDENTIFIER_LENGTH_MAX):
        identifier.validate_python("".join(printable[start : start + limits.IDENTIFIER_LENGTH_MAX]))
    identifier.validate_python("a  b c")
