"""Record a history of every shape of workflow for `test_histories.py`.

    python -m tests.replay.record_histories

It records only the shapes that have no file yet. From the first release on, a changed workflow must replay the
histories that ran before the change, so the old files are kept.
"""

import asyncio
import json
import re
import sys
from datetime import UTC, datetime, time, timedelta
from enum import Enum, auto
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from domain import limits
from domain.batch_openings import BatchSettings, plan_rerun_opening
from domain.business_days import BusinessCalendar
from domain.errors import InvariantViolationError
from domain.identifiers import chunk_workflow_id
from runtime.settings import Settings
from schemas.chunks import Chunk
from schemas.items import OfferedOrder
from schemas.ledger import AccountOpening
from schemas.orders import OrderRecord, OrderStatus
from schemas.wire.batches import BatchOpening, BatchSource, RerunSelection
from schemas.wire.payloads import BatchRun
from schemas.wire.reasons import Outcome
from settling.systems import Systems
from starters.daily_schedule import apply_schedule, trigger_schedule
from starters.migrate import add_search_attributes
from tests.doubles.fund_platform import MemoryFundPlatform
from tests.doubles.order_center import MemoryOrderCenter
from tests.doubles.settlement_store import MemorySettlementStore
from tests.replay.operated_shapes import (
    OPERATED_SHAPES,
    Operated,
    resume_after_its_own_pause,
    with_low_threshold,
)
from tests.replay.poisoned_chunks import CHUNK_SHAPES, settle_chunk
from tests.support.settlements import replaced
from workers.settlement_worker import build_worker
from workflows.batch_client import start_batch_workflow
from workflows.settle_batch import SettleBatchWorkflow

HISTORIES_DIR = Path(__file__).parent / "histories"
TASK_QUEUE = "record"
BATCH_SETTINGS = BatchSettings(BusinessCalendar(time(), ZoneInfo("UTC")), chunk_size=2, window=3)
CUTOFF_AT = datetime(2026, 11, 22, tzinfo=UTC)
WORKERS_NAME = re.compile(r"\d+@[\w.-]+")  # in the name of its sticky task queue


class Begun(Enum):
    """The way that the recorded run of a batch began."""

    BY_HAND = auto()
    AGAIN = auto()
    AS_RERUN = auto()
    BY_SCHEDULE = auto()
    BY_KAFKA = auto()
    UNDER_A_CAP = auto()


def broken_store() -> MemorySettlementStore:
    """Return a store that fails for good at the second chunk."""
    store = MemorySettlementStore()

    async def fetch_chunk(batch_id: str, chunk_index: int) -> Chunk:
        if chunk_index == 1:
            raise InvariantViolationError("The second chunk cannot be read.")
        return await store.chunks.fetch_chunk(batch_id, chunk_index)

    return replaced(store, "fetch_chunk", fetch_chunk)


SHAPES: dict[str, tuple[MemorySettlementStore, int, Begun]] = {
    "batch-closed": (MemorySettlementStore(), 5, Begun.BY_HAND),
    "batch-empty": (MemorySettlementStore(), 0, Begun.BY_HAND),
    "batch-continued-as-new": (MemorySettlementStore(), 40, Begun.BY_HAND),
    "batch-with-a-failed-chunk": (broken_store(), 5, Begun.BY_HAND),
    "batch-started-again": (MemorySettlementStore(), 5, Begun.AGAIN),
    "batch-rerun": (MemorySettlementStore(), 5, Begun.AS_RERUN),
    "batch-scheduled": (MemorySettlementStore(), 5, Begun.BY_SCHEDULE),
    "batch-kafka": (MemorySettlementStore(), 5, Begun.BY_KAFKA),
    "batch-capped": (MemorySettlementStore(), 5, Begun.UNDER_A_CAP),
}

ALL_SHAPES = (*SHAPES, *OPERATED_SHAPES, *CHUNK_SHAPES)


async def main() -> None:
    HISTORIES_DIR.mkdir(exist_ok=True)
    limits.CREDIT_TURN_WAIT_S_MAX = 0  # every wait under a cap becomes a timer
    missing = [shape for shape in ALL_SHAPES if not list(HISTORIES_DIR.glob(f"{shape}*.json"))]
    if not missing:
        sys.stdout.write("Every shape has been recorded.\n")
        return
    async with await WorkflowEnvironment.start_local(
        data_converter=pydantic_data_converter,
        dev_server_existing_path=str(Path(sys.executable).with_name("temporal")),
        dev_server_extra_args=["--dynamic-config-value", "limit.historyCount.suggestContinueAsNew=100"],
    ) as environment:
        await add_search_attributes(environment.client)
        for shape in missing:
            if shape in CHUNK_SHAPES:
                await save(environment.client, await settle_chunk(environment.client, shape), None, shape)
            elif shape in OPERATED_SHAPES:
                await record_operated(environment.client, shape)
            else:
                await record(environment.client, shape, *SHAPES[shape])
            sys.stdout.write(f"{shape}: recorded\n")


async def record_operated(client: Client, name: str) -> None:
    """Settle one batch of 12 orders in chunks of 2, one at a time, with an operator's actions. Keep its runs."""
    store, fund_platform = MemorySettlementStore(), MemoryFundPlatform()
    await fund_platform.accounts.open_accounts([AccountOpening("account-1", "USD")])
    operate = OPERATED_SHAPES[name]
    settings = BATCH_SETTINGS
    if operate is resume_after_its_own_pause:
        await fund_platform.accounts.close_account("account-1")
        settings = with_low_threshold(settings)
    handle = client.get_workflow_handle_for(SettleBatchWorkflow.run, name)
    batch = Operated(client, TASK_QUEUE, handle, store)
    await batch.order_center.load_records([order(number) for number in range(12)])
    opening = opening_of(name).model_copy(update={"window": 1})
    await store.filling.open_batch(opening)
    async with build_worker(client, TASK_QUEUE, Systems(batch.order_center, store, fund_platform), settings):
        await start_batch_workflow(client, TASK_QUEUE, opening)
        await operate(batch)
        await handle.result()
    runs = [execution async for execution in client.list_workflows(f"WorkflowId = '{name}'")]
    for number, run in enumerate(sorted(runs, key=lambda run: run.start_time)):
        if run.status != WorkflowExecutionStatus.TERMINATED:
            await save(client, name, run.run_id, f"{name}-{number}")


async def record(client: Client, name: str, store: MemorySettlementStore, order_count: int, begun: Begun) -> None:
    """Settle one batch in chunks of 2, and keep the history of each of its runs and of its second chunk."""
    order_center, fund_platform = MemoryOrderCenter(), MemoryFundPlatform()
    await fund_platform.accounts.open_accounts([AccountOpening("account-1", "USD")])
    await order_center.load_records([order(number) for number in range(order_count)])
    # Chunks run one after another: the first takes the turn, so the second waits.
    capped = {"credits_per_s": 1, "window": 1} if begun is Begun.UNDER_A_CAP else {}
    opening = opening_of(name).model_copy(update=capped)
    async with build_worker(client, TASK_QUEUE, Systems(order_center, store, fund_platform), BATCH_SETTINGS):
        if begun is Begun.BY_SCHEDULE:
            await record_scheduled(client, name)
            return
        if begun is Begun.AS_RERUN:
            await fund_platform.accounts.close_account("account-1")
        if begun is Begun.BY_KAFKA:
            opening = await fill_as_intake(store, name, order_count)
        first = await start_batch_workflow(client, TASK_QUEUE, opening)
        await first.result()
        if begun is Begun.AS_RERUN:
            await fund_platform.accounts.reopen_account("account-1")
            selection = RerunSelection(batch_id=name, outcomes=(Outcome.REJECTED,))
            rerun = plan_rerun_opening(BATCH_SETTINGS, CUTOFF_AT, selection)
            again = await start_batch_workflow(
                client, TASK_QUEUE, rerun.model_copy(update={"batch_id": f"{name}-of-rejected"})
            )
            await again.result()
            await save(client, again.id, again.result_run_id, name)
            return
        if begun is Begun.AGAIN:
            # As after a loss of Temporal's database, the batch starts again although its chunks are settled.
            again = await client.start_workflow(
                SettleBatchWorkflow.run, BatchRun(opening=opening), id=f"{name}-again", task_queue=TASK_QUEUE
            )
            await again.result()
            await save(client, again.id, again.result_run_id, name)
            return
    run_id: str | None = first.result_run_id
    number = 0
    while run_id:
        history = await save(client, name, run_id, f"{name}-{number}")
        run_id = history.events[-1].workflow_execution_continued_as_new_event_attributes.new_execution_run_id or None
        number += 1
    if order_count:
        await save(client, chunk_workflow_id(name, 1), None, f"{name}-chunk-1")


def opening_of(name: str) -> BatchOpening:
    return BatchOpening(
        batch_id=name,
        source=BatchSource.MANUAL,
        business_date=CUTOFF_AT.date(),
        cutoff_at=CUTOFF_AT,
        chunk_size=2,
        window=3,
    )


async def fill_as_intake(store: MemorySettlementStore, name: str, order_count: int) -> BatchOpening:
    """Open a batch for the same orders, as announced, and freeze it."""
    opening = BatchOpening(
        batch_id=name, source=BatchSource.KAFKA, business_date=None, cutoff_at=None, chunk_size=2, window=3
    )
    await store.filling.open_batch(opening)
    announced = [order(number) for number in range(order_count)]
    await store.filling.append_orders(name, [OfferedOrder(*record[:3], record.currency) for record in announced])
    await store.filling.freeze_batch(name, BATCH_SETTINGS.calendar)
    return opening


async def record_scheduled(client: Client, name: str) -> None:
    """Make a schedule start a batch over the same orders now, which are overdue at any cutoff since."""
    settings = Settings(task_queue=TASK_QUEUE)
    await apply_schedule(client, settings, CUTOFF_AT.date())
    batch_id = await trigger_schedule(client, settings)
    if batch_id is None:
        raise TimeoutError("The schedule's run did not start in time. Record again.")
    handle = client.get_workflow_handle(batch_id)
    await handle.result()
    await save(client, batch_id, None, f"{name}-0")


async def save(client: Client, workflow_id: str, run_id: str | None, name: str) -> WorkflowHistory:
    history = await client.get_workflow_handle(workflow_id, run_id=run_id).fetch_history()
    events = without_machine(json.loads(history.to_json()))
    (HISTORIES_DIR / f"{name}.json").write_text(json.dumps(events, indent=1) + "\n")
    return history


def without_machine(node: Any) -> Any:
    """Return a history without the names and paths of the machine that recorded it."""
    if isinstance(node, list):
        return [without_machine(part) for part in node]
    if isinstance(node, dict):
        return {
            key: "worker" if key == "identity" else without_machine(value)
            for key, value in node.items()
            if key != "stackTrace"
        }
    if isinstance(node, str):
        return WORKERS_NAME.sub("worker", node)
    return node


def order(number: int) -> OrderRecord:
    ended_at = CUTOFF_AT - timedelta(days=1)
    return OrderRecord(
        f"order-{number:05d}", "account-1", 1000 + number, 0, "USD", OrderStatus.COMPLETED, ended_at, ended_at
    )


if __name__ == "__main__":
    asyncio.run(main())
