"""All parts of payloads, events and stored reports are in `schemas/wire`, where they are known to be frozen."""

import inspect
from collections.abc import Iterator
from typing import Any, get_args, get_type_hints

import pytest

from activities.settlement import SettlementActivities
from schemas.wire import payloads
from schemas.wire.events import OverdueEvent, SettlementResult
from schemas.wire.reports import BatchReport
from workers.settlement_worker import WORKFLOWS


def hints_of(functions: Any) -> Iterator[Any]:
    for function in functions:
        yield from get_type_hints(function).values()


def roots() -> list[Any]:
    """Return the argument and result types of activities and workflows, the events, and the stored report."""
    activities = [
        each for _, each in inspect.getmembers(SettlementActivities) if hasattr(each, "__temporal_activity_definition")
    ]
    workflows = [
        each
        for workflow in WORKFLOWS
        for _, each in inspect.getmembers(workflow, inspect.isfunction)
        if any(name.startswith("__temporal_") for name in vars(each))
    ]
    assert len(activities) > 10
    assert len(workflows) > len(WORKFLOWS)
    sent = {each for each in hints_of([*activities, *workflows]) if inspect.isclass(each)}
    return [*sorted(sent, key=lambda each: each.__name__), OverdueEvent, SettlementResult, BatchReport]


def parts_of(model: Any, seen: set[Any]) -> Iterator[type]:
    """Return the classes of this code base that a type consists of, with itself."""
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


@pytest.mark.parametrize("root", roots(), ids=lambda root: root.__name__)
def test_all_that_is_sent_or_stored_as_json_stands_apart(root: type) -> None:
    parts = list(parts_of(root, set()))
    assert {part.__name__: part.__module__ for part in parts if not part.__module__.startswith("schemas.wire.")} == {}


def test_parts_are_found_through_containers() -> None:
    assert {"BatchOpening", "RerunSelection", "Outcome", "BatchRunState", "BatchControl"} <= {
        part.__name__ for part in parts_of(payloads.BatchRun, set())
    }
