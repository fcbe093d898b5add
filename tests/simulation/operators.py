"""What people do to batches while they run, at calls that the seed chooses."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple

from temporalio.client import Client
from temporalio.service import RPCError

from domain.identifiers import chunk_workflow_id
from schemas.batches import BatchOpening
from schemas.workflows import BatchRun
from tests.simulation.chance import Chance
from tests.simulation.fault_layer import Attempt
from tests.simulation.faults import Place
from workflows.settle_batch import SettleBatchWorkflow

_CHUNK_COUNT_MAX = 30
_METHODS = MappingProxyType(
    {
        "validate_chunk": ("fetch_chunk", "fetch_records", "store_validation"),
        "credit_chunk": ("fetch_chunk", "post_credits", "store_outcomes"),
    }
)


class Act(StrEnum):
    """What is done."""

    TERMINATE = "batch terminated"
    TERMINATE_ALONE = "batch terminated without its chunks"  # they end later, on a busy server
    CANCEL = "batch cancelled"
    TWIN = "second workflow of the batch"  # as after Temporal's database was lost


class Plan(NamedTuple):
    """An act, and the call of a first attempt right before which it is done."""

    act: Act
    place: Place
    method: str


def plan_acts(chance: Chance, batches: Sequence[str]) -> list[Plan]:
    """What is done to the batches of a seed."""
    plans = []
    for number in range(chance.between(0, 3, "act count")):
        names = ("act", number)
        step = chance.pick(tuple(_METHODS), *names, "step")
        place = Place(step, chance.pick(batches, *names, "batch"), chance.between(0, 5, *names, "chunk"))
        plans.append(Plan(chance.pick(tuple(Act), *names), place, chance.pick(_METHODS[step], *names, "method")))
    return plans


class Operators:
    """Do each planned act once, if its call comes about."""

    def __init__(
        self, client: Client, task_queue: str, plans: Sequence[Plan], openings: Mapping[str, BatchOpening]
    ) -> None:
        self.done: list[Act] = []
        self._client = client
        self._task_queue = task_queue
        self._plans = list(plans)
        self._openings = openings

    async def look(self, attempt: Attempt, method: str, _arguments: tuple[Any, ...]) -> None:
        """Act, if something is planned for this call."""
        for plan in [plan for plan in self._plans if (plan.place, plan.method) == (attempt.place, method)]:
            self._plans.remove(plan)
            self.done.append(plan.act)
            await self._acts[plan.act](self, self._openings[plan.place.batch])

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
        """What the server does when a workflow ends; the test server does not."""
        for chunk_index in range(_CHUNK_COUNT_MAX):
            with suppress(RPCError):
                await self._client.get_workflow_handle(chunk_workflow_id(opening.batch_id, chunk_index)).terminate()

    async def _start_twin(self, opening: BatchOpening) -> None:
        await self._client.start_workflow(
            SettleBatchWorkflow.run, BatchRun(opening=opening), id=_twin_id(opening), task_queue=self._task_queue
        )

    _acts: Mapping[Act, Callable[["Operators", BatchOpening], Awaitable[None]]] = MappingProxyType(
        {
            Act.TERMINATE: _terminate,
            Act.TERMINATE_ALONE: _terminate_alone,
            Act.CANCEL: _cancel,
            Act.TWIN: _start_twin,
        }
    )


def _twin_id(opening: BatchOpening) -> str:
    return f"{opening.batch_id}-again"
