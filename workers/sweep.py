"""The sweep. It freezes Kafka batches that wait too long, and starts batches that should be running but are not.

Every worker sweeps. Concurrent sweeps are harmless: PostgreSQL freezes a batch once, and Temporal runs one workflow per
id.
"""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from temporalio.client import Client, WorkflowExecutionDescription, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from domain import limits
from domain.batch_openings import stored_opening
from domain.errors import SettleError
from domain.identifiers import batch_workflow_id
from runtime.settings import Settings
from schemas.batches import Batch, UnclosedBatch
from schemas.wire.batches import FINAL_STATES, BatchSource, BatchState
from settlement_store.port import SettlementStore
from workflows.batch_client import start_batch_workflow
from workflows.settle_batch import SettleBatchWorkflow

_STOPPED_FROM_OUTSIDE = frozenset(
    {WorkflowExecutionStatus.TERMINATED, WorkflowExecutionStatus.CANCELED, WorkflowExecutionStatus.TIMED_OUT}
)
# The messages of these errors suffice. Any other error is logged with its traceback.
_EXPECTED = (SettleError, TimeoutError, RPCError)

_log = logging.getLogger(__name__)


async def sweep_forever(client: Client, settings: Settings, store: SettlementStore) -> None:
    """Sweep now and after each interval, until cancelled. Failures are logged, and the next sweep tries again."""
    while True:
        with _surviving("could not read the batches"):
            await sweep(client, settings, store)
        await asyncio.sleep(limits.SWEEP_INTERVAL_S)


async def sweep(client: Client, settings: Settings, store: SettlementStore) -> None:
    """Freeze and start all batches that are due. Idempotent. A failing batch is logged and does not stop the others."""
    for unclosed in await store.batches.fetch_unclosed_batches():
        with _surviving("could not freeze or start a batch", batch_id=unclosed.batch.batch_id):
            if _is_due(settings, unclosed):
                await _freeze_and_start(client, settings, store, unclosed)


def _is_due(settings: Settings, unclosed: UnclosedBatch) -> bool:
    """Return whether the batch's workflow should be running by now.

    This includes an open batch, because its own workflow fills it. Only a Kafka batch is filled by intake first.
    """
    wait_s = settings.batch_wait_s_max if _is_filled_by_intake(unclosed.batch) else 0
    return unclosed.age_s > wait_s + limits.SWEEP_GRACE_S


def _is_filled_by_intake(batch: Batch) -> bool:
    return batch.source == BatchSource.KAFKA and batch.state == BatchState.OPEN


async def _freeze_and_start(
    client: Client, settings: Settings, store: SettlementStore, unclosed: UnclosedBatch
) -> None:
    batch, age_s, action_no = unclosed
    said = {"batch_id": batch.batch_id, "source": str(batch.source), "age_s": round(age_s, 3)}
    if _is_filled_by_intake(batch):
        await store.filling.freeze_batch(batch.batch_id, settings.batch_settings.calendar)
        _log.info("sweep froze a batch", extra=said)
    found = await _describe_workflow(client, batch.batch_id)
    if await _should_start(store, batch.batch_id, found):
        is_completed = found is not None and found.status == WorkflowExecutionStatus.COMPLETED
        await start_batch_workflow(client, settings.task_queue, stored_opening(batch), is_completed=is_completed)
        _log.info("sweep started a batch", extra=said)
    elif action_no and found and found.status == WorkflowExecutionStatus.RUNNING:
        await _remind(client, batch.batch_id, action_no)


async def _remind(client: Client, batch_id: str, action_no: int) -> None:
    """Make a workflow catch up if it lacks stored actions, because Temporal was restored to an older state."""
    handle = client.get_workflow_handle_for(SettleBatchWorkflow.run, batch_workflow_id(batch_id))
    async with asyncio.timeout(limits.TEMPORAL_RPC_TIMEOUT_S):
        known = await handle.query(SettleBatchWorkflow.control)
        if known.action_no < action_no:
            await handle.execute_update(SettleBatchWorkflow.catch_up)
            _log.info("sweep reminded a batch of its actions", extra={"batch_id": batch_id, "action_no": action_no})


async def _describe_workflow(client: Client, batch_id: str) -> WorkflowExecutionDescription | None:
    """Return the batch's latest workflow run; None if Temporal has none."""
    try:
        return await client.get_workflow_handle(batch_workflow_id(batch_id)).describe(
            rpc_timeout=timedelta(seconds=limits.TEMPORAL_RPC_TIMEOUT_S)
        )
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
        return None


async def _should_start(store: SettlementStore, batch_id: str, found: WorkflowExecutionDescription | None) -> bool:
    """Return whether an unclosed batch has no running workflow but should have one.

    A workflow that failed is restarted only after a pause, since it may fail again. A workflow that completed has most
    likely given the batch its final state since the batch was read, so this reads the batch again. If the state is
    still not final, PostgreSQL was restored to an older state than Temporal's.
    """
    if found is None:
        return True
    if found.status == WorkflowExecutionStatus.FAILED and found.close_time:
        return datetime.now(UTC) - found.close_time > timedelta(seconds=limits.SWEEP_FAILED_PAUSE_S)
    if found.status == WorkflowExecutionStatus.COMPLETED:
        return (await store.batches.fetch_batch(batch_id)).state not in FINAL_STATES
    return found.status in _STOPPED_FROM_OUTSIDE


@contextmanager
def _surviving(what: str, **fields: str) -> Iterator[None]:
    """Log a failure of the body instead of raising it."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 (the other batches need the sweep, whatever the failure)
        _log.warning(
            f"sweep {what}",
            exc_info=not isinstance(error, _EXPECTED),
            extra={**fields, "error": str(error) or type(error).__name__},
        )
