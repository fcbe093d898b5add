"""Every history that ever ran replays with today's code."""

import json
import re
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
from temporalio import workflow
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner
from temporalio.workflow import NondeterminismError

from activities.settlement import SettlementActivities
from bench.children import SANDBOX
from schemas.wire.isolation import Exclusions
from schemas.wire.payloads import ChunkRun, StepRequest
from schemas.wire.totals import OutcomeTotals
from tests.replay.poisoned_chunks import CHUNK_SHAPES
from tests.replay.record_histories import ALL_SHAPES, HISTORIES_DIR
from workers.settlement_worker import WORKFLOWS
from workflows.activity_options import CHUNK_ACTIVITY
from workflows.settle_batch import SettleBatchWorkflow

HISTORIES = sorted(HISTORIES_DIR.glob("*.json"))

WHAT_TO_DO = (
    "A workflow that runs now has a history like this one, and would stop at your change: its commands no longer come "
    "in the same order. Either put the new order behind workflow.patched() and keep the old one in its else, or give "
    "the workflow a new version of its own, for new runs alone. Then record the new shape beside the old ones; never "
    "record an old one again. docs/how-to/change-a-workflow.md goes through it step by step."
)


@workflow.defn(name="SettleChunkWorkflow")
class ReorderedChunkWorkflow:
    """SettleChunkWorkflow with its activities in the wrong order."""

    @workflow.run
    async def run(self, chunk: ChunkRun) -> OutcomeTotals:
        request = StepRequest(**dict(chunk), exclusions=Exclusions())
        await workflow.execute_activity_method(SettlementActivities.credit_chunk, request, **CHUNK_ACTIVITY)
        return await workflow.execute_activity_method(SettlementActivities.validate_chunk, request, **CHUNK_ACTIVITY)


def history_of(path: Path) -> WorkflowHistory:
    return WorkflowHistory.from_json(path.stem, path.read_text())


def event_types(path: Path) -> list[str]:
    return [event["eventType"] for event in json.loads(path.read_text())["events"]]


def input_of(path: Path) -> dict[str, Any]:
    started = json.loads(path.read_text())["events"][0]["workflowExecutionStartedEventAttributes"]
    given: dict[str, Any] = json.loads(b64decode(started["input"]["payloads"][0]["data"]))
    return given


def text_of(shape: str, *, is_decoded: bool = False) -> str:
    """Return a history's text, with the payloads decoded."""
    text = (HISTORIES_DIR / f"{shape}.json").read_text()
    payloads = re.findall(r'"data": "([^"]+)"', text) if is_decoded else []
    return "\n".join([text, *(b64decode(payload).decode() for payload in payloads)])


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
async def test_a_recorded_history_still_replays(path: Path) -> None:
    """It replays in the sandbox, which workers do not use, to detect a workflow's use of the clock, random or I/O."""
    replayer = Replayer(workflows=WORKFLOWS, data_converter=pydantic_data_converter, workflow_runner=SANDBOX)
    result = await replayer.replay_workflow(history_of(path), raise_on_replay_failure=False)
    if result.replay_failure:
        pytest.fail(f"{path.stem}: {result.replay_failure}\n{WHAT_TO_DO}")


async def test_a_reordered_activity_fails_the_replay() -> None:
    replayer = Replayer(
        workflows=[SettleBatchWorkflow, ReorderedChunkWorkflow],
        data_converter=pydantic_data_converter,
        workflow_runner=UnsandboxedWorkflowRunner(),  # the sandbox would import this test module again
    )
    with pytest.raises(NondeterminismError):
        await replayer.replay_workflow(history_of(HISTORIES_DIR / "batch-closed-chunk-1.json"))


def test_the_recorded_shapes_are_all_there() -> None:
    seen = {path.stem: set(event_types(path)) for path in HISTORIES}
    assert "EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED" in seen["batch-closed-0"]
    assert "EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED" not in seen["batch-empty-0"]
    assert "EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW" in seen["batch-continued-as-new-0"]
    assert "EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_FAILED" in seen["batch-with-a-failed-chunk-0"]
    assert "EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_FAILED" in seen["batch-started-again"]
    assert input_of(HISTORIES_DIR / "batch-rerun.json")["opening"]["source"] == "rerun"
    assert input_of(HISTORIES_DIR / "batch-kafka-0.json")["opening"]["source"] == "kafka"
    assert "EVENT_TYPE_TIMER_STARTED" in seen["batch-capped-chunk-1"]
    updated = "EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED"
    for shape in ("paused-and-resumed", "aborted", "window-changed", "over-a-threshold"):
        assert updated in seen[f"batch-{shape}-0"]
    assert "hold_remaining_chunks" in text_of("batch-aborted-0")
    assert "that is over 25% and over 1" in text_of("batch-over-a-threshold-0", is_decoded=True)
    assert "EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW" in seen["batch-paused-then-continued-as-new-0"]
    assert input_of(HISTORIES_DIR / "batch-paused-then-continued-as-new-1.json")["control"]["is_paused"]
    assert "EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_FAILED" in seen["batch-started-again-by-the-sweep-1"]
    assert updated in seen["batch-started-again-by-the-sweep-1"]
    assert "open_scheduled_batch" in (HISTORIES_DIR / "batch-scheduled-0.json").read_text()


def activities_of(path: Path) -> list[str]:
    return [
        event["activityTaskScheduledEventAttributes"]["activityType"]["name"]
        for event in json.loads(path.read_text())["events"]
        if event["eventType"] == "EVENT_TYPE_ACTIVITY_TASK_SCHEDULED"
    ]


def test_the_recorded_chunks_isolated_held_and_gave_up() -> None:
    recorded = {shape: activities_of(HISTORIES_DIR / f"{shape}.json") for shape in CHUNK_SHAPES}
    assert recorded == {
        "chunk-poisoned-in-validation": ["validate_chunk", *["probe_validation"] * 5, "validate_chunk", "credit_chunk"],
        "chunk-poisoned-in-crediting": ["validate_chunk", "credit_chunk", *["probe_credits"] * 5, "credit_chunk"],
        "chunk-past-the-bound": ["validate_chunk", *["probe_validation"] * 3, "validate_chunk", "credit_chunk"],
        "chunk-unanswered": ["validate_chunk", "credit_chunk", "hold_chunk"],
    }


def test_every_recorded_chunk_was_tried_at_once_and_most_were_settled_so() -> None:
    tried = {path.stem for path in HISTORIES if "core_local_activity" in path.read_text()}
    assert tried == {path.stem for path in HISTORIES if "chunk_index" in input_of(path)}
    for shape in ("closed", "kafka", "continued-as-new"):
        assert activities_of(HISTORIES_DIR / f"batch-{shape}-chunk-1.json") == []


def test_the_recorded_batches_were_set_running_by_their_freezing() -> None:
    assert activities_of(HISTORIES_DIR / "batch-closed-0.json") == ["prepare_batch", "close_batch"]


def test_every_shape_that_can_be_recorded_is_recorded() -> None:
    names = {path.stem for path in HISTORIES}
    assert {name for name in names if not name.startswith(tuple(ALL_SHAPES))} == set()
    assert [shape for shape in ALL_SHAPES if not any(name.startswith(shape) for name in names)] == []
