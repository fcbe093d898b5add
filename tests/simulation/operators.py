"""Operators' actions on running batches, at calls that the seed chooses."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple

from temporalio.client import Client, WorkflowQueryFailedError
from temporalio.service import RPCError

from domain.errors import ControlRefusedError, UnavailableError
from domain.identifiers import chunk_workflow_id
from schemas.wire.batches import BatchOpening
from schemas.wire.control import ControlAction, ControlRequest
from schemas.wire.payloads import BatchRun
from settlement_store.port import SettlementStore
from tests.simulation.chance import Chance
from tests.simulation.fault_layer import Attempt
from tests.simulation.faults import Place
from workflows.batch_client import ask_batch_workflow
from workflows.settle_batch import SettleBatchWorkflow

CHUNK_COUNT_MAX = 30
_METHODS = MappingProxyType(
    {
        "settle_chunk": ("fetch_chunk", "fetch_records", "store_validation", "post_credits", "store_outcomes"),
        "validate_chunk": ("fetch_chunk", "fetch_records", "store_validation"),
        "credit_chunk": ("fetch_chunk", "post_credits", "store_outcomes"),
    }
)


class Act(StrEnum):
    """An action on a batch."""

    TERMINATE = "batch terminated"
    TERMINATE_ALONE = "batch terminated without its chunks"  # on a busy server they end later
    CANCEL = "batch cancelled"
    TWIN = "second workflow of the batch"  # as after Temporal's database was lost
    PAUSE = "batch paused"
    ABORT = "batch aborted"
    WINDOW = "window set"


_ENDING = frozenset({Act.TERMINATE, Act.TERMINATE_ALONE, Act.CANCEL, Act.TWIN})


class Plan(NamedTuple):
    """An act and the call before which it is done."""

    act: Act
    place: Place
    method: str


def plan_acts(chance: Chance, batches: Sequence[str]) -> list[Plan]:
    """Return the acts on the batches of a seed."""
    plans = []
    for number in range(chance.between(0, 4, "act count")):
        names = ("act", number)
        step = chance.pick(tuple(_METHODS), *names, "step")
        place = Place(step, chance.pick(batches, *names, "batch"), chance.between(0, 4, *names, "chunk"))
        plans.append(Plan(chance.pick(tuple(Act), *names), place, chance.pick(_METHODS[step], *names, "method")))
    return plans


class Operators:
    """Performs each planned act once, if its call happens. `faults` lists where a batch did not obey."""

    def __init__(
        self,
        client: Client,
        task_queue: str,
        store: SettlementStore,
        plans: Sequence[Plan],
        openings: Mapping[str, BatchOpening],
    ) -> None:
        self.done: list[Act] = []
        self.faults: list[str] = []
        self._client = client
        self._task_queue = task_queue
        self._store = store
        self._plans = list(plans)
        self._openings = openings
        self._begun: defaultdict[str, set[int]] = defaultdict(set)
        self._begun_at_abort: dict[str, frozenset[int]] = {}
        self._may_begin: dict[str, frozenset[int]] = {}
        self._is_ended: set[str] = set()
        self.batch_ids_with_twin: set[str] = set()
        self._asking = asyncio.Lock()

    async def look(self, attempt: Attempt, method: str, _arguments: tuple[Any, ...]) -> None:
        """Perform the acts that are planned for this call."""
        self._look_at_chunk(attempt.place)
        for plan in [plan for plan in self._plans if (plan.place, plan.method) == (attempt.place, method)]:
            self._plans.remove(plan)
            self.done.append(plan.act)
            await self._do(plan.act, plan.place.batch)

    def chunks_that_an_abort_may_hold(self, batch: str) -> set[int]:
        """Return the chunks of a batch that were not in flight when it was aborted, or none if it was not aborted."""
        if batch not in self._begun_at_abort:
            return set()
        in_flight: frozenset[int] = frozenset() if batch in self._is_ended else self._begun_at_abort[batch]
        return set(range(CHUNK_COUNT_MAX)) - in_flight

    async def ask(self, batch: str, action: ControlAction, window: int | None = None) -> None:
        """Request an action as the commands do. Refusals are ignored."""
        opening = self._openings[batch]
        request = ControlRequest(batch_id=opening.batch_id, action=action, requested_by="operator", window=window)
        # With one request at a time it is known whether a batch is paused.
        async with self._asking:
            if action != ControlAction.PAUSE:
                self._may_begin.pop(batch, None)
            with suppress(ControlRefusedError, UnavailableError):
                await self._ask(batch, opening, request)

    async def _ask(self, batch: str, opening: BatchOpening, request: ControlRequest) -> None:
        stored = await self._store.batches.fetch_batch(opening.batch_id)
        await ask_batch_workflow(self._client, self._task_queue, self._store, stored, request)
        if request.action == ControlAction.ABORT:
            self._begun_at_abort.setdefault(batch, frozenset(self._begun[batch]))
        if request.action == ControlAction.PAUSE:
            await self._note_pause(batch, opening)

    async def _do(self, act: Act, batch: str) -> None:
        if act in _ENDING:
            self._is_ended.add(batch)
            self._may_begin.pop(batch, None)
            await self._endings[act](self, self._openings[batch])
        elif act == Act.WINDOW:
            await self.ask(batch, ControlAction.WINDOW, window=2)
        else:
            await self.ask(batch, ControlAction.PAUSE if act == Act.PAUSE else ControlAction.ABORT)

    def _look_at_chunk(self, place: Place) -> None:
        if place.chunk_index is None or place.chunk_index in self._begun[place.batch]:
            return
        self._begun[place.batch].add(place.chunk_index)
        may_begin = self._may_begin.get(place.batch)
        if may_begin is not None and place.chunk_index not in may_begin:
            self.faults.append(f"chunk {place.chunk_index} of {place.batch} was begun while the batch was paused")

    async def _note_pause(self, batch: str, opening: BatchOpening) -> None:
        """Note that from now on only the chunks in flight may be attempted."""
        if batch in self._is_ended:
            return
        handle = self._client.get_workflow_handle_for(SettleBatchWorkflow.run, opening.batch_id)
        with suppress(RPCError, WorkflowQueryFailedError):
            progress = await handle.query(SettleBatchWorkflow.progress)
            in_flight = progress.chunks_in_flight if progress else []
            self._may_begin[batch] = frozenset([*self._begun[batch], *in_flight])

    async def _terminate(self, opening: BatchOpening) -> None:
        await self._terminate_alone(opening)
        await self._end_chunks(opening)

    async def _terminate_alone(self, opening: BatchOpening) -> None:
        for workflow_id in (opening.batch_id, _twin_id(opening)):
            with suppress(RPCError):
                await self._client.get_workflow_handle(workflow_id).terminate()

    async def _cancel(self, opening: BatchOpening) -> None:
        with suppress(RPCError):
            await self._client.get_workflow_handle(opening.batch_id).cancel()
        await self._end_chunks(opening)

    async def _end_chunks(self, opening: BatchOpening) -> None:
        """Terminate the chunks' workflows, as a real server does when their parent ends. The test server does not."""
        for chunk_index in range(CHUNK_COUNT_MAX):
            with suppress(RPCError):
                await self._client.get_workflow_handle(chunk_workflow_id(opening.batch_id, chunk_index)).terminate()

    async def _start_twin(self, opening: BatchOpening) -> None:
        self.batch_ids_with_twin.add(opening.batch_id)
        await self._client.start_workflow(
            SettleBatchWorkflow.run, BatchRun(opening=opening), id=_twin_id(opening), task_queue=self._task_queue
        )

    _endings: Mapping[Act, Callable[["Operators", BatchOpening], Awaitable[None]]] = MappingProxyType(
        {
            Act.TERMINATE: _terminate,
            Act.TERMINATE_ALONE: _terminate_alone,
            Act.CANCEL: _cancel,
            Act.TWIN: _start_twin,
        }
    )


def _twin_id(opening: BatchOpening) -> str:
    return f"{opening.batch_id}-again"
