"""Batches with actions of an operator, a threshold or the sweep, recorded by `record_histories.py`."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from temporalio.client import Client, WorkflowHandle

from domain import limits
from domain.batch_openings import BatchSettings
from runtime.settings import Settings
from schemas.orders import FetchedRecord
from schemas.wire.control import ControlInput, WindowInput
from schemas.wire.payloads import BatchResult
from settlement_store.port import SettlementStore
from tests.doubles.order_center import MemoryOrderCenter
from tests.support.settlements import eventually
from workers.sweep import sweep
from workflows.settle_batch import SettleBatchWorkflow

ASKED = ControlInput(requested_by="ann", reason="a repair")
GATED_ORDER_ID = "order-00005"

Handle = WorkflowHandle[SettleBatchWorkflow, BatchResult]


class GatedOrderCenter(MemoryOrderCenter):
    """Holds back the chunk with the gated order, so that an action meets it in flight."""

    def __init__(self) -> None:
        super().__init__()
        self.is_reached, self.is_open = asyncio.Event(), asyncio.Event()

    async def fetch_records(self, order_ids: Sequence[str]) -> list[FetchedRecord]:
        if GATED_ORDER_ID in order_ids:
            self.is_reached.set()
            await self.is_open.wait()
        return await super().fetch_records(order_ids)


class Operated:
    """A running batch, with what is needed to operate it."""

    def __init__(self, client: Client, task_queue: str, handle: Handle, store: SettlementStore) -> None:
        self.client, self.task_queue, self.handle, self.store = client, task_queue, handle, store
        self.order_center = GatedOrderCenter()

    async def pause_in_mid_flight(self) -> None:
        await self.order_center.is_reached.wait()
        await self.handle.execute_update(SettleBatchWorkflow.pause, ASKED)
        self.order_center.is_open.set()
        await self.until_idle()

    async def until_idle(self) -> None:
        async def is_idle() -> bool:
            progress = await self.handle.query(SettleBatchWorkflow.progress)
            return progress is not None and progress.phase == "paused" and not progress.chunks_in_flight

        await eventually(is_idle)


async def pause_and_resume(batch: Operated) -> None:
    await batch.pause_in_mid_flight()
    await batch.handle.execute_update(SettleBatchWorkflow.resume, ASKED)


async def abort(batch: Operated) -> None:
    await batch.order_center.is_reached.wait()
    await batch.handle.execute_update(SettleBatchWorkflow.abort, ASKED)
    batch.order_center.is_open.set()


async def change_window(batch: Operated) -> None:
    await batch.order_center.is_reached.wait()
    for window in (4, 1):
        asked = WindowInput(requested_by="ann", window=window)
        await batch.handle.execute_update(SettleBatchWorkflow.window, asked)
    batch.order_center.is_open.set()


async def resume_after_its_own_pause(batch: Operated) -> None:
    batch.order_center.is_open.set()
    await batch.until_idle()
    await batch.handle.execute_update(SettleBatchWorkflow.resume, ASKED)


async def pause_until_it_continues_as_new(batch: Operated) -> None:
    """Fill the history with actions on a paused batch, until the server suggests a new run."""
    await batch.pause_in_mid_flight()
    first_run_id = (await batch.handle.describe()).run_id
    window = 1
    while (await batch.handle.describe()).run_id == first_run_id:
        window = 3 - window
        await batch.handle.execute_update(SettleBatchWorkflow.window, WindowInput(requested_by="ann", window=window))
    await batch.handle.execute_update(SettleBatchWorkflow.resume, ASKED)


async def pause_terminate_and_sweep(batch: Operated) -> None:
    await batch.pause_in_mid_flight()
    await batch.handle.terminate("an operator's hand")
    limits.SWEEP_GRACE_S = 0
    await sweep(batch.client, Settings(task_queue=batch.task_queue), batch.store)
    await batch.until_idle()
    await batch.handle.execute_update(SettleBatchWorkflow.resume, ASKED)


def with_low_threshold(settings: BatchSettings) -> BatchSettings:
    """Return settings with which the second rejected order pauses its batch."""
    return settings._replace(thresholds=settings.thresholds.model_copy(update={"rejected_count_max": 1}))


OPERATED_SHAPES: dict[str, Callable[[Operated], Awaitable[None]]] = {
    "batch-paused-and-resumed": pause_and_resume,
    "batch-aborted": abort,
    "batch-window-changed": change_window,
    "batch-over-a-threshold": resume_after_its_own_pause,
    "batch-paused-then-continued-as-new": pause_until_it_continues_as_new,
    "batch-started-again-by-the-sweep": pause_terminate_and_sweep,
}
