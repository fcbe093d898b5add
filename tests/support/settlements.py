"""Helpers for tests of whole settlements: orders, a worker, ports that hold calls back, histories, and checks."""

import asyncio
import copy
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from datetime import time as local_time
from typing import Any, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Worker

from domain import limits
from domain.batch_openings import plan_manual_opening, plan_rerun_opening
from domain.business_days import BusinessCalendar
from domain.control_totals import totals_of
from domain.identifiers import chunk_workflow_id
from domain.order_rules import due_minor_of
from fund_platform.port import FundPlatform
from fund_platform.port.proof import LedgerProof
from runtime.settings import Settings
from runtime.stack_state import StackState
from schemas.audit import AuditReport
from schemas.items import OfferedOrder
from schemas.ledger import AccountOpening
from schemas.orders import OrderRecord
from schemas.wire.batches import FINAL_STATES, BatchOpening, BatchSource, BatchState, RerunSelection
from schemas.wire.payloads import BatchResult, ChunkResult, ChunkRun
from schemas.wire.reports import BatchReport
from schemas.wire.totals import ControlTotals
from settling.auditing import audit
from settling.freezing import freeze_overdue_orders
from settling.reporting import fetch_report
from settling.systems import Systems
from starters.rerun import EXCEPTION_OUTCOMES
from starters.sample_orders import SampleOrder, currency_of, plan_sample_orders
from workers.settlement_worker import build_worker
from workflows.activity_options import AT_ONCE, BATCH_ACTIVITY, CHUNK_ACTIVITY, WORKFLOW_TASK_TIMEOUT
from workflows.batch_client import start_batch_workflow
from workflows.search_attributes import chunk_search_attributes
from workflows.settle_batch import SettleBatchWorkflow
from workflows.settle_chunk import SettleChunkWorkflow

CALENDAR = BusinessCalendar(local_time(), ZoneInfo("UTC"))
NOW = datetime(2026, 11, 22, 6, tzinfo=UTC)
LOAD_ROW_COUNT = 5_000
# Arguments of a Temporal server whose list of workflows must be current. An embedded stack's list may lag a second.
PROMPT_LIST = ("--dynamic-config-value", "history.visibilityProcessorMaxPollRPS=1000")
# Only to detect a hang: nothing takes this long, even on a busy machine.
DEADLINE_S = 180.0
POLL_INTERVAL_S = 0.05
# Longer than a test may take. TASK_PATIENCE is the longest timeout of a workflow task that Temporal accepts.
PATIENCE = timedelta(minutes=20)
TASK_PATIENCE = timedelta(minutes=2)

Port = TypeVar("Port")
Found = TypeVar("Found")


class SeededOrders(NamedTuple):
    """Orders in the Order Center, with their expected outcomes.

    If one slice of freezing holds them all and they are sorted by id, then `sample[n]` is item `n`.
    """

    sample: Sequence[SampleOrder]
    planned: ControlTotals
    settled: ControlTotals
    rejected: ControlTotals
    reasons: dict[str, int]

    @property
    def records(self) -> list[OrderRecord]:
        return [order.record for order in self.sample]


async def seed_orders(
    systems: Systems, order_count: int, *, seed: int = 1, prefix: str = "O-", bad_rate: float = 0.05
) -> SeededOrders:
    """Load overdue orders in all currencies, some of them bad. A tenth of them belong to four hot accounts."""
    sample = list(plan_sample_orders(order_count, round(order_count * bad_rate), prefix, random.Random(seed)))
    await load_orders(systems, [order.record for order in sample])
    return expect(sample)


def expect(sample: Sequence[SampleOrder]) -> SeededOrders:
    """Return the orders with their expected outcomes."""
    return SeededOrders(
        sample=sample,
        planned=_totals(sample),
        settled=_totals(order for order in sample if not order.reason_code),
        rejected=_totals(order for order in sample if order.reason_code),
        reasons=dict(Counter(order.reason_code for order in sample if order.reason_code)),
    )


def _totals(sample: Iterable[SampleOrder]) -> ControlTotals:
    return totals_of(
        (record.currency, 1, due_minor_of(record.paid_minor, record.refunded_minor)) for record, _ in sample
    )


async def load_orders(systems: Systems, records: list[OrderRecord]) -> None:
    """Load records and open their accounts, each in its own currency."""
    for start in range(0, len(records), LOAD_ROW_COUNT):
        rows = records[start : start + LOAD_ROW_COUNT]
        accounts = {record.account_id: currency_of(int(record.account_id[1:])) for record in rows}
        await systems.fund_platform.accounts.open_accounts([AccountOpening(*account) for account in accounts.items()])
        await systems.order_center.load_records(rows)


async def connect(stack: StackState) -> Client:
    """Return a Temporal client like that of Settle's processes."""
    return await Client.connect(stack.temporal_address, data_converter=pydantic_data_converter)


def opening_of(batch_id: str, *, chunk_size: int, window: int) -> BatchOpening:
    """Return the opening of a batch as `settle run` plans it, at a fixed time."""
    return plan_manual_opening(Settings().batch_settings, NOW, batch_id=batch_id, chunk_size=chunk_size, window=window)


def rerun_opening_of(
    batch_id: str, rerun_of: str, *, chunk_size: int = 1_000, window: int = 2, **selected: Any
) -> BatchOpening:
    """Return the opening of a rerun as `settle rerun` plans it. It has all exception items or those `selected`."""
    selection = RerunSelection(**{"batch_id": rerun_of, "outcomes": EXCEPTION_OUTCOMES, **selected})
    planned = plan_rerun_opening(Settings().batch_settings, NOW, selection)
    return planned.model_copy(update={"batch_id": batch_id, "chunk_size": chunk_size, "window": window})


def kafka_opening_of(batch_id: str, *, chunk_size: int = 1_000, window: int = 2) -> BatchOpening:
    """Return the opening of a batch as intake plans it. Freezing sets its dates."""
    return BatchOpening(
        batch_id=batch_id,
        source=BatchSource.KAFKA,
        business_date=None,
        cutoff_at=None,
        chunk_size=chunk_size,
        window=window,
    )


async def fill(systems: Systems, opening: BatchOpening, records: Sequence[OrderRecord]) -> None:
    """Open a batch and append announced orders, as intake does."""
    await systems.store.filling.open_batch(opening)
    await systems.store.filling.append_orders(
        opening.batch_id,
        [
            OfferedOrder(
                record.order_id,
                record.account_id,
                due_minor_of(record.paid_minor, record.refunded_minor),
                record.currency,
            )
            for record in records
        ],
    )


async def freeze(systems: Systems, opening: BatchOpening) -> None:
    """Freeze the overdue orders into a batch, without its workflow."""
    await freeze_overdue_orders(systems, opening, CALENDAR, after=None, on_slice=lambda _: None)


def let_no_timeout_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the timeouts of chunks and workflow tasks so long that they never pass, even on a busy machine.

    These timeouts decide whether a chunk is settled in one step or in two, and detect stuck attempts, so on a busy
    machine a test's path would depend on its load. The change applies to workers of this process and to workflows that
    are started after it.
    """
    for options in (AT_ONCE, CHUNK_ACTIVITY, BATCH_ACTIVITY):
        for name in {"schedule_to_start_timeout", "start_to_close_timeout", "heartbeat_timeout"} & set(options):
            monkeypatch.setitem(options, name, max(PATIENCE, options[name]))  # type: ignore[literal-required]
    for module in ("workflows.chunk_runs", "workflows.batch_client", "tests.support.settlements"):
        monkeypatch.setattr(f"{module}.WORKFLOW_TASK_TIMEOUT", TASK_PATIENCE)


@asynccontextmanager
async def running_worker(client: Client, task_queue: str, systems: Systems) -> AsyncIterator[Worker]:
    """Run a worker in this process."""
    async with build_worker(client, task_queue, systems, batch_settings=Settings().batch_settings) as worker:
        yield worker


async def settle(
    client: Client, task_queue: str, opening: BatchOpening
) -> tuple[WorkflowHandle[SettleBatchWorkflow, BatchResult], BatchResult]:
    """Start a batch and wait until it ends. Needs a running worker."""
    handle = await start_batch_workflow(client, task_queue, opening)
    async with asyncio.timeout(DEADLINE_S):
        return handle, await handle.result()


async def start_chunk_by_hand(
    client: Client, task_queue: str, opening: BatchOpening, chunk_index: int
) -> WorkflowHandle[SettleChunkWorkflow, ChunkResult]:
    """Start a chunk's workflow without its batch's workflow, under the same id as the batch would."""
    return await client.start_workflow(
        SettleChunkWorkflow.run,
        ChunkRun(
            batch_id=opening.batch_id,
            chunk_index=chunk_index,
            probe_count_max=limits.CHUNK_PROBE_COUNT_MAX,
            credit_deadline_s=limits.CREDIT_DEADLINE_DEFAULT_S,
        ),
        id=chunk_workflow_id(opening.batch_id, chunk_index),
        task_queue=task_queue,
        task_timeout=WORKFLOW_TASK_TIMEOUT,
        search_attributes=chunk_search_attributes(opening.batch_id),
    )


async def eventually(probe: Callable[[], Awaitable[Found | None]], deadline_s: float = DEADLINE_S) -> Found:
    """Call the probe repeatedly until its answer is true, and return it. Fail after the deadline."""
    deadline = time.monotonic() + deadline_s
    while time.monotonic() < deadline:
        found = await probe()
        if found:
            return found
        await asyncio.sleep(POLL_INTERVAL_S)
    raise AssertionError(f"{probe.__qualname__} was not true within {deadline_s:.0f} s.")


async def require_clean(systems: Systems, order_count: int) -> AuditReport:
    """Require that the audit finds no breaks, no order is pending and all batches are final. Return its report."""
    report = await audit(systems.store, systems.fund_platform)
    assert report.breaks == []
    assert report.ok
    assert report.pending == ControlTotals()
    assert report.orders == order_count
    batches = await systems.store.batches.fetch_batches(100)
    assert {batch.state for batch in batches} <= FINAL_STATES
    return report


async def require_settled(
    systems: Systems, result: BatchResult, opening: BatchOpening, orders: SeededOrders
) -> BatchReport:
    """Require that a batch took all these orders and settled the good ones. Return its report."""
    report = await fetch_report(systems.store, systems.fund_platform, opening.batch_id)
    chunk_count = -(-len(orders.records) // opening.chunk_size)
    assert (result.state, report.state) == (BatchState.CLOSED, BatchState.CLOSED)
    assert (result.planned, report.planned) == (orders.planned, orders.planned)
    assert (result.totals.settled, report.settled) == (orders.settled, orders.settled)
    assert (result.totals.rejected, report.rejected) == (orders.rejected, orders.rejected)
    assert (result.totals.failed, result.totals.held) == (ControlTotals(), ControlTotals())
    assert report.reasons == orders.reasons
    assert report.ledger == orders.settled
    assert report.unconfirmed == ControlTotals()
    assert report.chunks == chunk_count
    assert report.balanced
    return report


def proof_of(fund_platform: FundPlatform) -> LedgerProof:
    """Return the Fund Platform's proof, which it must offer."""
    assert fund_platform.proof
    return fund_platform.proof


class Gate:
    """Holds calls back until it is opened. A cancellation of the caller does not stop a call that is held back.

    It behaves like a request on the wire, which still arrives if the activity that sent it is cancelled or dead.
    """

    def __init__(self, held_count_max: int = 1_000) -> None:
        self._held_count_max = held_count_max
        self._calls: list[asyncio.Task[Any]] = []
        self._opened = asyncio.Event()
        self._reached = asyncio.Event()

    async def reached(self) -> None:
        """Wait until a call is held back."""
        async with asyncio.timeout(DEADLINE_S):
            await self._reached.wait()

    async def open(self) -> None:
        """Let all calls pass, now and later, and wait until those that were held back have ended."""
        self._opened.set()
        await asyncio.gather(*self._calls, return_exceptions=True)

    async def call(self, function: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        """Call the function once the gate is open. Calls after the first `held_count_max` pass immediately."""
        if len(self._calls) >= self._held_count_max:
            return await function(*arguments)
        self._calls.append(asyncio.create_task(self._call_when_open(function, arguments)))
        self._reached.set()
        return await asyncio.shield(self._calls[-1])

    async def _call_when_open(self, function: Callable[..., Awaitable[Any]], arguments: tuple[Any, ...]) -> Any:
        await self._opened.wait()
        return await function(*arguments)


def held(port: Port, method: str, gate: Gate, when: Callable[..., bool] = lambda *_: True) -> Port:
    """Return the port with a method, its own or of a part, held back by the gate for arguments that `when` accepts."""
    original = getattr(owner_of(port, method), method)

    async def call(*arguments: Any) -> Any:
        return await (gate.call(original, *arguments) if when(*arguments) else original(*arguments))

    return replaced(port, method, call)


def replaced(port: Port, method: str, function: Callable[..., Awaitable[Any]]) -> Port:
    """Return the port with a method, its own or of a part, replaced."""
    changed = copy.copy(port)
    owner = owner_of(port, method)
    if owner is port:
        setattr(changed, method, function)
        return changed
    [name] = [name for name, part in vars(port).items() if part is owner]
    setattr(changed, name, replaced(owner, method, function))
    return changed


def owner_of(port: object, method: str) -> Any:
    """Return the port itself or the part of it that has the method."""
    if hasattr(port, method):
        return port
    [owner] = [part for part in vars(port).values() if hasattr(part, method)]
    return owner


async def fetch_events(client: Client, workflow_id: str, run_id: str | None = None) -> list[HistoryEvent]:
    """Return the events of one run, by default the latest."""
    history = await client.get_workflow_handle(workflow_id, run_id=run_id).fetch_history()
    return list(history.events)


async def fetch_run_chain(client: Client, workflow_id: str, first_run_id: str) -> list[list[HistoryEvent]]:
    """Return the histories of a run and of the runs that it continued as."""
    runs = []
    run_id = first_run_id
    while run_id:
        runs.append(await fetch_events(client, workflow_id, run_id))
        run_id = runs[-1][-1].workflow_execution_continued_as_new_event_attributes.new_execution_run_id
    return runs


async def fetch_chunk_runs(
    client: Client, batch_id: str, run_count_min: int
) -> Counter[tuple[str, WorkflowExecutionStatus | None]]:
    """Count the runs of a batch's chunk workflows by workflow id and status.

    Temporal's list of workflows lags, so this waits until it has `run_count_min` runs and none is running.
    """
    query = f"SettleBatchId = '{batch_id}' AND WorkflowType = 'SettleChunkWorkflow'"

    async def probe() -> Counter[tuple[str, WorkflowExecutionStatus | None]] | None:
        listed = Counter([(found.id, found.status) async for found in client.list_workflows(query)])
        is_running = any(status == WorkflowExecutionStatus.RUNNING for _, status in listed)
        return listed if listed.total() >= run_count_min and not is_running else None

    return await eventually(probe)


async def fetch_current_details(client: Client, workflow_id: str) -> str:
    """Return the current details that the web UI shows for a workflow's latest run. Needs a running worker."""
    metadata: WorkflowMetadata = await client.get_workflow_handle(workflow_id).query(
        "__temporal_workflow_metadata", result_type=WorkflowMetadata
    )
    return metadata.current_details


def of_type(events: list[HistoryEvent], event_type: "EventType.ValueType") -> list[HistoryEvent]:
    return [event for event in events if event.event_type == event_type]


def payload_text(payload: Payload) -> str:
    """Return the string in a JSON payload."""
    return payload.data.decode().strip('"')
