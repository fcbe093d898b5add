"""The worker process: runs batch and chunk workflows and their activities."""

from datetime import timedelta

from temporalio.client import Client
from temporalio.worker import Worker

from activities.settlement import SettlementActivities
from domain import limits
from domain.batch_openings import BatchSettings
from fund_platform.port import FundPlatform
from order_center.port import OrderCenter
from runtime.temporal import workflow_runner
from settlement_store.port import SettlementStore
from workflows.settle_batch import SettleBatchWorkflow
from workflows.settle_chunk import SettleChunkWorkflow

WORKFLOWS = (SettleBatchWorkflow, SettleChunkWorkflow)


def build_worker(
    client: Client,
    task_queue: str,
    order_center: OrderCenter,
    store: SettlementStore,
    fund_platform: FundPlatform,
    batch_settings: BatchSettings,
) -> Worker:
    """A worker with all of Settle's workflows and activities, within the bounds of `domain.limits`."""
    activities = SettlementActivities(order_center, store, fund_platform, batch_settings)
    return Worker(
        client,
        task_queue=task_queue,
        workflows=WORKFLOWS,
        activities=[
            activities.open_scheduled_batch,
            activities.freeze_batch,
            activities.start_batch,
            activities.validate_chunk,
            activities.credit_chunk,
            activities.hold_chunk,
            activities.fetch_chunk_totals,
            activities.close_batch,
        ],
        workflow_runner=workflow_runner(),
        max_concurrent_activities=limits.WORKER_ACTIVITY_SLOT_COUNT,
        max_heartbeat_throttle_interval=timedelta(seconds=limits.HEARTBEAT_INTERVAL_S),
        default_heartbeat_throttle_interval=timedelta(seconds=limits.HEARTBEAT_INTERVAL_S),
        sticky_queue_schedule_to_start_timeout=timedelta(seconds=limits.STICKY_SCHEDULE_TO_START_TIMEOUT_S),
        graceful_shutdown_timeout=timedelta(seconds=limits.WORKER_GRACEFUL_SHUTDOWN_S),
    )
