"""The committed JSON Schemas are those of the models, and a change that breaks the contract is reported."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support import event_schemas
from tests.support.event_schemas import (
    COMMAND,
    DIRECTORY,
    Contract,
    Direction,
    Schema,
    contracts,
    incompatibilities,
    text_of,
)

INPUT, OUTPUT = Direction.INPUT, Direction.OUTPUT
BASE: Schema = {
    "anyOf": [{"$ref": "#/$defs/Event"}, {"type": "array", "items": {"$ref": "#/$defs/Event"}}],
    "$defs": {
        "Event": {
            "type": "object",
            "properties": {
                "version": {"const": 1, "type": "integer"},
                "id": {"type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[a-z]*$"},
                "amount": {"type": "integer", "minimum": 0, "maximum": 99},
                "outcome": {"type": "string", "enum": ["settled", "held"]},
                "reason": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                "at": {"type": "string", "format": "date-time"},
                "note": {"type": "string"},
            },
            "required": ["version", "id", "amount", "outcome", "reason", "at"],
        }
    },
}
FIELDS = ("$defs", "Event", "properties")
REQUIRED = ("$defs", "Event", "required")
ALL = BASE["$defs"]["Event"]["required"]
REMOVED = object()

# The changes, their values, and the directions in which they break the contract.
CHANGES: list[tuple[str, tuple[str, ...], Any, set[Direction]]] = [
    ("a new optional field", (*FIELDS, "new"), {"type": "string"}, set()),
    ("a new required field", REQUIRED, [*ALL, "new"], {INPUT}),
    ("a field that is required now", REQUIRED, [*ALL, "note"], {INPUT}),
    ("a field that is no longer required", REQUIRED, ALL[1:], {OUTPUT}),
    ("a field that was removed", (*FIELDS, "note"), REMOVED, {OUTPUT}),
    ("another type", (*FIELDS, "amount"), {"type": "string"}, {INPUT, OUTPUT}),
    ("a wider type", (*FIELDS, "amount", "type"), "number", {OUTPUT}),
    ("any type", (*FIELDS, "note"), {}, {OUTPUT}),
    ("null, too", (*FIELDS, "note"), {"anyOf": [{"type": "string"}, {"type": "null"}]}, {OUTPUT}),
    ("no null any more", (*FIELDS, "reason"), {"type": "string"}, {INPUT}),
    ("a higher minimum", (*FIELDS, "amount", "minimum"), 1, {INPUT}),
    ("a lower minimum", (*FIELDS, "amount", "minimum"), -1, {OUTPUT}),
    ("no minimum", (*FIELDS, "amount", "minimum"), REMOVED, {OUTPUT}),
    ("a lower maximum", (*FIELDS, "amount", "maximum"), 98, {INPUT}),
    ("a higher maximum", (*FIELDS, "amount", "maximum"), 100, {OUTPUT}),
    ("a shorter id", (*FIELDS, "id", "maxLength"), 63, {INPUT}),
    ("a longer id", (*FIELDS, "id", "maxLength"), 65, {OUTPUT}),
    ("another pattern", (*FIELDS, "id", "pattern"), "^[a-y]*$", {INPUT, OUTPUT}),
    ("no pattern", (*FIELDS, "id", "pattern"), REMOVED, {OUTPUT}),
    ("a pattern where there was none", (*FIELDS, "note", "pattern"), "^a$", {INPUT}),
    ("another format", (*FIELDS, "at", "format"), "date", {INPUT, OUTPUT}),
    ("one more value", (*FIELDS, "outcome", "enum"), ["settled", "held", "failed"], {OUTPUT}),
    ("one value less", (*FIELDS, "outcome", "enum"), ["settled"], {INPUT}),
    ("any value", (*FIELDS, "outcome"), {"type": "string"}, {OUTPUT}),
    ("some values only", (*FIELDS, "note", "enum"), ["a", "b"], {INPUT}),
    ("another version", (*FIELDS, "version", "const"), 2, {INPUT, OUTPUT}),
    ("no arrays any more", ("anyOf",), [{"$ref": "#/$defs/Event"}], {INPUT}),
    ("a word that is not known", (*FIELDS, "amount", "multipleOf"), 5, {INPUT}),
    ("other words for people", (*FIELDS, "amount", "description"), "In minor units.", set()),
    ("nothing", ("title",), "Event", set()),
]


def changed(path: tuple[str, ...], value: Any) -> Schema:
    schema: Schema = copy.deepcopy(BASE)
    part = schema
    for word in path[:-1]:
        part = part[word]
    if value is REMOVED:
        del part[path[-1]]
    else:
        part[path[-1]] = value
    return schema


@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize(("path", "value", "breaks"), [change[1:] for change in CHANGES], ids=[c[0] for c in CHANGES])
def test_a_change_is_incompatible_in_the_directions_that_it_breaks(
    path: tuple[str, ...], value: Any, breaks: set[Direction], direction: Direction
) -> None:
    found = incompatibilities(BASE, changed(path, value), direction)
    assert bool(found) == (direction in breaks), found


@pytest.mark.parametrize("contract", contracts(), ids=lambda contract: contract.name)
def test_the_committed_schema_is_that_of_the_model(contract: Contract) -> None:
    committed = (DIRECTORY / contract.name).read_text()
    broken = incompatibilities(json.loads(committed), contract.schema, contract.direction)
    assert broken == [], f"The change breaks {contract.name}: it needs a new schema version, with a file of its own."
    assert committed == text_of(contract.schema), f"Write {contract.name} anew with: {COMMAND}"


def test_no_committed_schema_is_left_over() -> None:
    assert {path.name for path in DIRECTORY.iterdir()} == {contract.name for contract in contracts()}


def test_a_committed_schema_is_not_overwritten_by_one_that_breaks_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaking = changed((*FIELDS, "amount", "minimum"), 1)
    harmless = changed((*FIELDS, "new"), {"type": "string"})
    (tmp_path / "a.json").write_text(text_of(BASE))
    (tmp_path / "b.json").write_text(text_of(BASE))
    made = [Contract("a.json", breaking, INPUT), Contract("b.json", harmless, INPUT), Contract("c.json", BASE, INPUT)]
    monkeypatch.setattr(event_schemas, "contracts", lambda: made)
    assert event_schemas.write(tmp_path) == [
        "a.json: event.amount: its minimum is 0, but must be within 1.",
        "a.json: event[].amount: its minimum is 0, but must be within 1.",
    ]
    assert [(tmp_path / name).read_text() for name in ("a.json", "b.json", "c.json")] == [
        text_of(BASE),
        text_of(harmless),
        text_of(BASE),
    ]
