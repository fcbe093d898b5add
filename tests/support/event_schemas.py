"""The JSON Schemas of the events, generated from the models, and a check that a change keeps the contract.

After a compatible change of `schemas/wire/events.py`, write the files again with:

    .venv/bin/python -m tests.support.event_schemas
"""

import json
import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import TypeAdapter

from schemas.wire.events import BulkEvent, OverdueEvent, SettlementResult

DIRECTORY = Path(__file__).parents[2] / "schemas" / "json"
COMMAND = ".venv/bin/python -m tests.support.event_schemas"

Schema = dict[str, Any]

# Keywords that do not affect which values are accepted.
_ANNOTATIONS = {"$schema", "$defs", "title", "description", "default"}
_LOWER_BOUNDS = {"minimum", "minLength", "minItems"}
_UPPER_BOUNDS = {"maximum", "maxLength", "maxItems"}
_HANDLED = _ANNOTATIONS | {"$ref", "anyOf", "type", "const", "enum", "properties", "required", "items"}


class Direction(Enum):
    """Whether Settle reads an event or writes it."""

    INPUT = "input"
    OUTPUT = "output"


class Contract(NamedTuple):
    """A schema's file name, the schema, and whether Settle reads or writes the event."""

    name: str
    schema: Schema
    direction: Direction


def contracts() -> list[Contract]:
    """Return the schemas of the current models."""
    overdue = TypeAdapter(OverdueEvent | BulkEvent).json_schema()
    result = TypeAdapter(SettlementResult).json_schema(mode="serialization")
    return [
        Contract(
            "orders.overdue.v1.json", _titled(overdue, "One event on orders.overdue, or several"), Direction.INPUT
        ),
        Contract("settlement.results.v1.json", result, Direction.OUTPUT),
    ]


def _titled(schema: Schema, title: str) -> Schema:
    return {"title": title, **schema}


def text_of(schema: Schema) -> str:
    """Return the text of a schema's file."""
    with_dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    return json.dumps(with_dialect, indent=2, ensure_ascii=False) + "\n"


def incompatibilities(old: Schema, new: Schema, direction: Direction) -> list[str]:
    """Return a sentence for each incompatibility between two versions of a schema. There is none if all readers agree.

    For an event that Settle reads, the new schema must accept everything that the old one accepts, apart from fields
    that the old one does not name. For an event that Settle writes, a reader of the old schema must accept everything
    that the new one allows.
    """
    written, read = (old, new) if direction is Direction.INPUT else (new, old)
    return list(_Comparison(written, read, direction).refused(written, read, "event"))


class _Comparison:
    """Finds the values that one schema allows and the other refuses."""

    def __init__(self, written: Schema, read: Schema, direction: Direction) -> None:
        self._written_root = written
        self._read_root = read
        self._direction = direction

    def refused(self, written: Schema, read: Schema, place: str) -> Iterator[str]:
        written, read = _resolved(written, self._written_root), _resolved(read, self._read_root)
        if "anyOf" in written or "anyOf" in read:
            yield from self._refused_alternatives(written, read, place)
            return
        yield from _refused_values(written, read, place)
        yield from _refused_by_bounds(written, read, place)
        yield from self._refused_fields(written, read, place)
        if "items" in read:
            yield from self.refused(written.get("items", {}), read["items"], f"{place}[]")

    def _refused_alternatives(self, written: Schema, read: Schema, place: str) -> Iterator[str]:
        for alternative in written.get("anyOf", [written]):
            refusals = [list(self.refused(alternative, each, place)) for each in read.get("anyOf", [read])]
            if all(refusals):
                yield from min(refusals, key=len)

    def _refused_fields(self, written: Schema, read: Schema, place: str) -> Iterator[str]:
        for name in read.get("required", []):
            if name not in written.get("required", []):
                yield f"{place}.{name} is required, but may be missing."
        for name, field in read.get("properties", {}).items():
            if name in written.get("properties", {}):
                yield from self.refused(written["properties"][name], field, f"{place}.{name}")
            elif self._direction is Direction.OUTPUT:
                yield f"{place}.{name} was removed."


def _resolved(schema: Schema, root: Schema) -> Schema:
    while "$ref" in schema:
        schema = {**root["$defs"][schema["$ref"].removeprefix("#/$defs/")]}
    return schema


def _refused_values(written: Schema, read: Schema, place: str) -> Iterator[str]:
    types = (written.get("type"), read.get("type"))
    if types[1] is not None and types[0] != types[1] and types != ("integer", "number"):
        yield f"{place} is {types[0] or 'anything'}, but must be {types[1]}."
    allowed = _values_of(read)
    if allowed is not None:
        possible = _values_of(written)
        for value in ["another value"] if possible is None else [each for each in possible if each not in allowed]:
            yield f"{place} may be {value}, but must be one of {allowed}."


def _values_of(schema: Schema) -> list[Any] | None:
    return [schema["const"]] if "const" in schema else schema.get("enum")


def _refused_by_bounds(written: Schema, read: Schema, place: str) -> Iterator[str]:
    for word, bound in read.items():
        if word in _HANDLED:
            continue
        found = written.get(word)
        is_within = found == bound or (
            found is not None
            and ((word in _LOWER_BOUNDS and found >= bound) or (word in _UPPER_BOUNDS and found <= bound))
        )
        if not is_within and _values_of(written) is None:
            yield f"{place}: its {word} is {found}, but must be within {bound}."


def write(directory: Path) -> list[str]:
    """Write the schemas' files. A file with an incompatible change stays unchanged.

    Returns:
        A sentence for each incompatibility.
    """
    broken = []
    for name, schema, direction in contracts():
        file = directory / name
        found = incompatibilities(json.loads(file.read_text()), schema, direction) if file.exists() else []
        broken += [f"{name}: {sentence}" for sentence in found]
        if not found:
            file.write_text(text_of(schema))
    return broken


if __name__ == "__main__":
    DIRECTORY.mkdir(exist_ok=True)
    problems = write(DIRECTORY)
    if problems:
        sys.exit(
            "\n".join(problems) + "\nThe file was not changed, because other systems rely on it. Give the changed "
            "event a new schema_version, and its own model and file."
        )
