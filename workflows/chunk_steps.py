"""One step over a chunk that was not settled in one local activity (decision 0027).

The step runs over all items together. If the data of some items make it fail, it runs again without them.

The step stores all its outcomes in one transaction, and probes store nothing. PostgreSQL therefore has the chunk's
whole state, except for the items that the probes have found. A chunk that is started again probes again.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, NamedTuple

from pydantic import BaseModel
from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

from activities.settlement import SettlementActivities
from domain import limits
from domain.errors import ChunkDataError, SettleError
from domain.isolation import Isolation
from schemas.wire.isolation import Exclusions, ItemRange
from schemas.wire.payloads import ChunkRef, ChunkRun, HoldRequest, ProbeAnswer, ProbeRequest, StepRequest, TurnWait
from schemas.wire.totals import OutcomeTotals
from workflows.activity_options import CHUNK_ACTIVITY


class Step(NamedTuple):
    """A step over a chunk, with its activity for the whole chunk and its probe for a part."""

    verb: str
    participle: str
    whole: Callable[[SettlementActivities, StepRequest], Awaitable[OutcomeTotals]]
    probe: Callable[[SettlementActivities, ProbeRequest], Awaitable[ProbeAnswer]]


TURN_SUMMARY = "wait for a turn under the cap on credits"
VALIDATION = Step("validate", "validated", SettlementActivities.validate_chunk, SettlementActivities.probe_validation)
CREDITING = Step("credit", "credited", SettlementActivities.credit_chunk, SettlementActivities.probe_credits)


class ChunkStep:
    """A chunk's step, with a bounded number of probes.

    From its first data error on, all credit requests of the step and its probes share one deadline.
    """

    def __init__(self, step: Step, chunk: ChunkRun, probe_count_max: int) -> None:
        self._step = step
        self._chunk = chunk
        self._probe_count_max = probe_count_max
        self._exclusions = Exclusions()
        self._failed_at: datetime | None = None
        self._waited_s = 0.0  # for turns, since `_failed_at`
        self._error = ""
        self.probe_count = 0

    @property
    def pause_reason(self) -> str | None:
        """The reason to pause the batch, if not all bad items could be isolated."""
        if not self._exclusions.held_ranges:
            return None
        held_count = sum(end - start for start, end in self._exclusions.held_ranges)
        isolated_count = len(self._exclusions.isolated)
        return (
            f"Chunk {self._chunk.chunk_index}: {self.probe_count} probes isolated {isolated_count:,} orders that could "
            f"not be {self._step.participle} because of their data. More such orders may remain, so up to "
            f"{held_count:,} others are held. Repair the cause, resume the batch, and rerun it once it is closed. "
            f"{self._error}"
        )

    async def run(self) -> OutcomeTotals:
        """Run the step over all items, then without those that make it fail. Return the chunk's totals so far.

        If the step still fails, another round probes the items that were not found bad before. The last round makes no
        probes and holds all remaining items.

        Raises:
            ActivityError: the step failed for good by an error that is no data error, or still failed after the last
                round.
        """
        isolation: Isolation | None = None
        round_no = 0
        while True:
            try:
                return await self._take()
            except ActivityError as error:
                failure = failure_of(error, ChunkDataError)
                if failure is None or round_no == limits.ISOLATION_ROUND_COUNT_MAX:
                    raise
            round_no += 1
            if not self._failed_at:
                self._failed_at, self._waited_s = workflow.now(), 0.0
            self._error = failure.message
            isolation = isolation or Isolation(ItemRange(*failure.details))
            isolation.begin()
            if round_no < limits.ISOLATION_ROUND_COUNT_MAX:
                await self._find_bad_items(isolation)
            held_ranges = tuple(isolation.suspected())
            self._exclusions = self._exclusions.model_copy(
                update={"held_ranges": held_ranges, "held_detail": self._error[: limits.EXCEPTION_DETAIL_LENGTH_MAX]}
            )

    async def _take(self) -> OutcomeTotals:
        isolated_count, held_range_count = len(self._exclusions.isolated), len(self._exclusions.held_ranges)
        without = f" without {isolated_count} orders and {held_range_count} ranges" if self._failed_at else ""
        summary = f"{self._step.verb} chunk {self._chunk.chunk_index}{without}"
        while True:
            request = StepRequest(**self._request_fields(), exclusions=self._exclusions)
            totals = await workflow.execute_activity_method(
                self._step.whole, request, summary=summary, **CHUNK_ACTIVITY
            )
            if not await self._wait_for_turn(totals):
                return totals

    async def _find_bad_items(self, isolation: Isolation) -> None:
        """Probe parts of the chunk until every bad item is isolated or the bound of probes is reached."""
        while self.probe_count < self._probe_count_max and (items := isolation.next_probe()):
            self.probe_count += 1
            workflow.set_current_details(
                f"The chunk could not be {self._step.participle} because of its data. Looking for the orders that "
                f"cause this: {self.probe_count} probes, {len(self._exclusions.isolated)} orders found. {self._error}"
            )
            answer = await self._probe(items)
            isolation.answer(is_bad=answer.is_bad)
            if answer.isolated:
                isolated = (*self._exclusions.isolated, answer.isolated)
                self._exclusions = self._exclusions.model_copy(update={"isolated": isolated})

    async def _probe(self, items: ItemRange) -> ProbeAnswer:
        summary = f"try to {self._step.verb} items {items.item_start} to {items.item_end - 1}"
        while True:
            request = ProbeRequest(**self._request_fields(), items=items)
            answer = await workflow.execute_activity_method(
                self._step.probe, request, summary=summary, **CHUNK_ACTIVITY
            )
            if not await self._wait_for_turn(answer):
                return answer

    async def _wait_for_turn(self, answer: BaseModel) -> bool:
        """Wait for a turn under the cap on credits if the answer requires it. Return whether it waited.

        Waiting in the workflow occupies no activity slot of a worker. Before a wait, the workflow may continue as new.
        """
        if not isinstance(answer, TurnWait):
            return False
        self._chunk = self._chunk.model_copy(update={"is_turn_promised": answer.is_turn_promised})
        if not answer.wait_s:
            return False
        if workflow.info().is_continue_as_new_suggested() and not self._has_probed():
            workflow.continue_as_new(self._chunk)
        await workflow.sleep(answer.wait_s, summary=TURN_SUMMARY)
        self._waited_s += answer.wait_s
        return True

    def _has_probed(self) -> bool:
        """Return whether this step or the one before made probes. Continuing as new would lose their findings."""
        return self.probe_count > 0 or self._probe_count_max < self._chunk.probe_count_max

    def _request_fields(self) -> dict[str, Any]:
        """Return the chunk's fields, with the time that is left to retry credit requests without an answer."""
        passed_s = (workflow.now() - self._failed_at).total_seconds() - self._waited_s if self._failed_at else 0.0
        return self._chunk.model_dump() | {"credit_deadline_s": max(self._chunk.credit_deadline_s - passed_s, 0.0)}


def failure_of(error: ActivityError, kind: type[SettleError]) -> ApplicationError | None:
    """Return the failure that ended an activity for good if it is of this kind, otherwise None."""
    cause = error.cause
    return cause if isinstance(cause, ApplicationError) and cause.type == kind.__name__ else None


async def hold_chunk(ref: ChunkRef, detail: str) -> OutcomeTotals:
    """Hold a chunk's items that have no outcome. Return its control totals."""
    return await workflow.execute_activity_method(
        SettlementActivities.hold_chunk,
        HoldRequest(**ref.model_dump(), detail=detail),
        summary=f"hold the remaining items of chunk {ref.chunk_index}",
        **CHUNK_ACTIVITY,
    )
