"""The worker process. It runs batch and chunk workflows and their activities."""

import asyncio
import logging
import os
from datetime import timedelta

from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.settlement import SettlementActivities
from domain import limits
from domain.batch_openings import BatchSettings
from domain.errors import UnavailableError
from runtime.settings import Settings
from runtime.temporal import connect_temporal, is_answering
from settling.systems import Systems
from workers.sweep import sweep_forever
from workflows.settle_batch import SettleBatchWorkflow
from workflows.settle_chunk import SettleChunkWorkflow

WORKFLOWS = (SettleBatchWorkflow, SettleChunkWorkflow)

_log = logging.getLogger(__name__)


async def serve(settings: Settings, systems: Systems, stop: asyncio.Event) -> None:
    """Run a worker and the sweep until `stop` is set.

    When Temporal returns after an outage, a new worker and sweep replace the old ones. The SDK's worker would recover,
    too, but only after up to 10 s: its poll interval grows to 10 s during an outage and cannot be configured. The new
    worker polls immediately, on its own connection. The old worker finishes its tasks concurrently.

    Raises:
        UnavailableError: Temporal was unreachable at the start, or refuses the worker permanently.
    """
    client: Client | None = await connect_temporal(settings)
    try:
        async with asyncio.TaskGroup() as tasks:
            while client:
                worker = build_worker(
                    client, settings.task_queue, systems, settings.batch_settings, settings.credits_per_s
                )
                tasks.create_task(worker.run())
                sweeping = tasks.create_task(sweep_forever(client, settings, systems.store))
                _log.info("worker serves the task queue", extra=_describe(settings, client))
                client = await _await_return(settings, client, stop)
                sweeping.cancel()
                tasks.create_task(worker.shutdown())
            _log.info("worker is shutting down", extra={"grace_s": limits.WORKER_GRACEFUL_SHUTDOWN_S})
    except ExceptionGroup as failed:
        raise UnavailableError(
            f"The worker has stopped: {failed.exceptions[0]}. Nothing is lost. Correct the cause and start the worker "
            "again."
        ) from failed


def _describe(settings: Settings, client: Client) -> dict[str, object]:
    return {
        "pid": os.getpid(),
        "task_queue": settings.task_queue,
        "temporal": client.service_client.config.target_host,
        "namespace": client.namespace,
    }


async def _await_return(settings: Settings, client: Client, stop: asyncio.Event) -> Client | None:
    """Wait for the end of an outage of Temporal, and return a new connection. Return None when `stop` is set."""
    missed_count = 0
    while not await _is_set_within(stop, limits.TEMPORAL_PING_INTERVAL_S):
        if not await is_answering(client):
            missed_count += 1
            if missed_count == limits.TEMPORAL_PING_MISS_COUNT:
                _log.warning("Temporal is unreachable; waiting for its return")
        elif missed_count < limits.TEMPORAL_PING_MISS_COUNT:
            missed_count = 0
        else:
            try:
                return await connect_temporal(settings)
            except UnavailableError as error:
                _log.warning("Temporal is not ready yet", extra={"error": str(error)})
    return None


async def _is_set_within(event: asyncio.Event, timeout_s: float) -> bool:
    try:
        async with asyncio.timeout(timeout_s):
            return await event.wait()
    except TimeoutError:
        return False


def build_worker(
    client: Client,
    task_queue: str,
    systems: Systems,
    batch_settings: BatchSettings,
    credits_per_s: int | None = None,
) -> Worker:
    """Build a worker with all of Settle's workflows and activities, within the bounds of `domain.limits`."""
    activities = SettlementActivities(systems, batch_settings, credits_per_s)
    return Worker(
        client,
        task_queue=task_queue,
        workflows=WORKFLOWS,
        activities=[
            activities.open_scheduled_batch,
            activities.prepare_batch,
            activities.control_batch,
            activities.fetch_control,
            activities.settle_chunk,
            activities.validate_chunk,
            activities.probe_validation,
            activities.credit_chunk,
            activities.probe_credits,
            activities.hold_chunk,
            activities.hold_remaining_chunks,
            activities.fetch_chunk_totals,
            activities.close_batch,
        ],
        # The replay tests run the workflows in the sandbox. Here it would raise the cost of a chunk's workflow from
        # 10 ms to 18 ms (python -m bench.children [--sandbox]), a quarter more worker time on 100,000 orders.
        workflow_runner=UnsandboxedWorkflowRunner(),
        max_concurrent_workflow_tasks=limits.WORKER_WORKFLOW_TASK_SLOT_COUNT,
        max_concurrent_local_activities=limits.WORKER_LOCAL_ACTIVITY_SLOT_COUNT,
        max_concurrent_activities=limits.WORKER_ACTIVITY_SLOT_COUNT,
        max_concurrent_activity_task_polls=limits.WORKER_ACTIVITY_POLL_COUNT,
        max_heartbeat_throttle_interval=timedelta(seconds=limits.HEARTBEAT_INTERVAL_S),
        default_heartbeat_throttle_interval=timedelta(seconds=limits.HEARTBEAT_INTERVAL_S),
        sticky_queue_schedule_to_start_timeout=timedelta(seconds=limits.STICKY_SCHEDULE_TO_START_TIMEOUT_S),
        graceful_shutdown_timeout=timedelta(seconds=limits.WORKER_GRACEFUL_SHUTDOWN_S),
    )
