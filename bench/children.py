"""`python -m bench.children`: a batch with the 2,000 chunks of ten million orders, without their work.

Runs the real batch and chunk workflows on a real Temporal server, with activities that do nothing, then reads the
length of every history. Prints the number of runs and events and the worker's CPU time. Exits with 1 if a history is
too long for invariant 9. With --sandbox the workflows run in Temporal's sandbox, which Settle's workers do not use.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from temporalio import activity
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker, WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from bench.fresh_stack import fresh_stack, say
from domain import limits
from domain.batch_openings import BatchSettings, plan_manual_opening
from runtime.settings import Settings
from runtime.temporal import connect_temporal
from schemas.wire.batches import BatchOpening, BatchState
from schemas.wire.control import BatchControl
from schemas.wire.payloads import BatchRunPlan, ChunkRef, CreditingResult
from schemas.wire.totals import ControlTotals
from workers.settlement_worker import WORKFLOWS
from workflows.batch_client import start_batch_workflow

# The sandbox imports these modules once instead of again for each workflow run.
SANDBOX = SandboxedWorkflowRunner(
    restrictions=SandboxRestrictions.default.with_passthrough_modules(
        "activities",
        "database",
        "domain",
        "fund_platform",
        "order_center",
        "pydantic",
        "pydantic_core",
        "schemas",
        "settlement_store",
        "settling",
    )
)
BENCH_DIR = Path(".settle/children")
HISTORY_EVENT_COUNT_MAX = 10_000
LISTED_TIMEOUT_S = 60
LISTED_POLL_INTERVAL_S = 1


class Took(NamedTuple):
    """How long a batch took: elapsed time, and CPU time of this process, which runs the worker."""

    clock_s: float
    worker_s: float


class NoActivities:
    """Activities with the names of Settle's that have no effect."""

    def __init__(self, chunk_count: int, batch_settings: BatchSettings) -> None:
        self._chunk_count, self._batch_settings = chunk_count, batch_settings

    @activity.defn
    async def prepare_batch(self, _opening: BatchOpening) -> BatchRunPlan:
        """Freeze nothing and return a plan with the wanted number of chunks."""
        now = datetime.now(UTC)
        return BatchRunPlan(
            state=BatchState.RUNNING,
            chunk_count=self._chunk_count,
            chunk_size=5_000,
            window=limits.WINDOW_DEFAULT,
            business_date=now.date(),
            planned=ControlTotals(),
            control=BatchControl(),
            thresholds=self._batch_settings.thresholds,
            credit_deadline_s=self._batch_settings.credit_deadline_s,
        )

    @activity.defn
    async def settle_chunk(self, _ref: ChunkRef) -> CreditingResult:
        """Settle nothing."""
        return CreditingResult()

    @activity.defn
    async def close_batch(self, _batch_id: str) -> BatchState:
        """Close nothing."""
        return BatchState.CLOSED


def main() -> None:
    """Run the batch and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m bench.children", description=__doc__)
    parser.add_argument("--chunks", type=int, default=2_000)
    parser.add_argument("--sandbox", action="store_true")
    arguments = parser.parse_args()
    chunk_count = arguments.chunks
    runner = SANDBOX if arguments.sandbox else UnsandboxedWorkflowRunner()
    with fresh_stack(BENCH_DIR) as settings:
        event_counts, took = asyncio.run(_run(settings, chunk_count, runner))
    longest = max(event_counts)
    say(
        f"{chunk_count:,} chunks in {took.clock_s:.0f} s, {chunk_count / took.clock_s:.1f} chunks/s; "
        f"{took.worker_s * 1000 / chunk_count:.1f} ms of the worker's CPU time for each; "
        f"{len(event_counts):,} runs, {sum(event_counts):,} events, the longest history has {longest:,}"
    )
    sys.exit(1 if longest > HISTORY_EVENT_COUNT_MAX else 0)


async def _run(settings: Settings, chunk_count: int, runner: WorkflowRunner) -> tuple[list[int], Took]:
    client = await connect_temporal(settings)
    none = NoActivities(chunk_count, settings.batch_settings)
    activities: list[Callable[..., Any]] = [
        none.prepare_batch,
        none.settle_chunk,
        none.close_batch,
    ]
    opening = plan_manual_opening(settings.batch_settings, datetime.now(UTC), batch_id="children")
    async with Worker(
        client,
        task_queue=settings.task_queue,
        workflows=WORKFLOWS,
        activities=activities,
        workflow_runner=runner,
    ):
        started_s, started_worker_s = time.monotonic(), time.process_time()
        handle = await start_batch_workflow(client, settings.task_queue, opening)
        await handle.result()
        took = Took(time.monotonic() - started_s, time.process_time() - started_worker_s)
    return await fetch_history_event_counts(client, opening.batch_id, chunk_count), took


async def fetch_history_event_counts(client: Client, batch_id: str, chunk_count: int) -> list[int]:
    """Return the number of events in each run of a batch's workflow and of its chunks' workflows.

    Temporal's list of workflows lags, so this waits until it lists all of them as ended.

    Raises:
        TimeoutError: Temporal did not list them within `LISTED_TIMEOUT_S`.
    """
    deadline_s = time.monotonic() + LISTED_TIMEOUT_S
    while time.monotonic() < deadline_s:
        runs = [run async for run in client.list_workflows(f"WorkflowId STARTS_WITH '{batch_id}'")]
        if len({run.id for run in runs}) > chunk_count and all(run.close_time for run in runs):
            return [run.history_length for run in runs]
        await asyncio.sleep(LISTED_POLL_INTERVAL_S)
    raise TimeoutError(
        f"Temporal did not list all workflows of batch {batch_id} and its {chunk_count:,} chunks as ended within "
        f"{LISTED_TIMEOUT_S} s. Look for the cause in Temporal's log, then run the benchmark again."
    )


if __name__ == "__main__":
    main()
