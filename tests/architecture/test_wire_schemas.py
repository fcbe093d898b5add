"""What a payload, an event or a kept report consists of stands in `schemas/wire`, known to be frozen."""

import inspect
from collections.abc import Iterator
from typing import Any, get_args, get_type_hints

import pytest

from schemas.wire import events, payloads
from schemas.wire.reports import BatchReport


def models_of(module: Any) -> list[type]:
    return [each for _, each in inspect.getmembers(module, inspect.isclass) if each.__module__.startswith("schemas.")]


ROOTS = [*models_of(payloads), *models_of(events), BatchReport]


def parts_of(model: Any, seen: set[Any]) -> Iterator[type]:
    """The classes of ours that a type consists of, itself included."""
    if model in seen:
        return
    seen.add(model)
    if inspect.isclass(model) and model.__module__.startswith("schemas."):
        yield model
        for hint in get_type_hints(model).values():
            yield from parts_of(hint, seen)
    for argument in get_args(model):
        if inspect.isclass(argument) or get_args(argument):
            yield from parts_of(argument, seen)


@pytest.mark.parametrize("root", ROOTS, ids=lambda root: root.__name__)
def test_all_that_is_sent_or_stored_as_json_stands_apart(root: type) -> None:
    parts = list(parts_of(root, set()))
    assert root in parts
    assert {part.__name__: part.__module__ for part in parts if not part.__module__.startswith("schemas.wire.")} == {}


def test_parts_are_found_through_containers() -> None:
    assert {"BatchOpening", "RerunSelection", "Outcome", "BatchRunState", "BatchControl"} <= {
        part.__name__ for part in parts_of(payloads.BatchRun, set())
    }
