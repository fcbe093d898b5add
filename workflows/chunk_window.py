"""The sliding window that bounds a batch's chunks in flight."""

import asyncio

from temporalio import workflow

from domain import limits
from domain.batch_control import passed_threshold
from domain.control_totals import sum_outcome_totals
from schemas.wire.batches import BatchOpening
from schemas.wire.payloads import BatchRunState, ChunkResult, ChunkRun
from schemas.wire.totals import OutcomeTotals
from workflows.chunk_runs import run_chunk
from workflows.operator_control import OperatorControl


class ChunkWindow:
    """A batch's chunks in flight, and the batch's progress. A chunk that ends frees its slot, however it ends.

    Attributes:
        state: the batch's progress.
    """

    def __init__(self, opening: BatchOpening, state: BatchRunState, operator: OperatorControl) -> None:
        self.state = state
        self._opening = opening
        self._operator = operator
        self._in_flight: dict[asyncio.Task[ChunkResult], int] = {}

    @property
    def chunks_in_flight(self) -> list[int]:
        """The indexes of the chunks in flight."""
        return sorted(self._in_flight.values())

    def is_over(self) -> bool:
        """Return whether no more chunks will be started. A paused batch is not over, even if no chunk remains."""
        control = self._operator.control
        return control.is_aborting or (self._is_last_started() and not control.is_paused)

    def has_news(self) -> bool:
        """Return whether a chunk has ended or can be started, or no chunk is in flight and the run can end.

        The run ends when the batch is over, or to continue as new.
        """
        if self._in_flight:
            return any(task.done() for task in self._in_flight) or self._has_room()
        return self.is_over() or self._has_room() or workflow.info().is_continue_as_new_suggested()

    def start_chunks(self) -> None:
        """Start as many chunks as there is room for."""
        while self._has_room():
            chunk = self._next_chunk()
            self._in_flight[asyncio.create_task(run_chunk(chunk))] = chunk.chunk_index
            self._update_state(chunk_index_next=chunk.chunk_index + 1)

    def take_results(self) -> str | None:
        """Add the results of the chunks that have ended. Return a reason to pause the batch, or None."""
        ended = [task for task in self._in_flight if task.done()]
        results = [task.result() for task in ended]
        for task in ended:
            del self._in_flight[task]
        self._update_state(
            totals=sum_outcome_totals([self.state.totals, *results]),
            chunk_closed_count=self.state.chunk_closed_count + len(results),
            probe_count=self.state.probe_count + sum(result.probe_count for result in results),
        )
        reasons = [result.pause_reason for result in results if result.pause_reason]
        return " ".join(dict.fromkeys(reasons)) or self._passed_threshold()

    def close_all(self, totals: OutcomeTotals) -> None:
        """Record all chunks as closed. The remaining ones were held."""
        self._update_state(totals=totals, chunk_closed_count=self.state.plan.chunk_count)

    def forget_probes(self) -> None:
        """Reset the count of probes: a person has seen the problem by now. The coming chunks get their full number."""
        self._update_state(probe_count=0)

    def _update_state(self, **changes: object) -> None:
        self.state = self.state.model_copy(update=changes)

    def _is_last_started(self) -> bool:
        return self.state.chunk_index_next >= self.state.plan.chunk_count

    def _slot_count(self) -> int:
        return self._operator.control.window or self.state.plan.window

    def _has_room(self) -> bool:
        return (
            not self._is_last_started()
            and len(self._in_flight) < self._slot_count()
            and not self._operator.control.is_paused
            and not self._operator.control.is_aborting
            and not workflow.info().is_continue_as_new_suggested()
        )

    def _next_chunk(self) -> ChunkRun:
        probes_left = max(0, limits.BATCH_PROBE_COUNT_MAX - self.state.probe_count)
        return ChunkRun(
            batch_id=self._opening.batch_id,
            chunk_index=self.state.chunk_index_next,
            probe_count_max=min(limits.CHUNK_PROBE_COUNT_MAX, probes_left),
            credit_deadline_s=self.state.plan.credit_deadline_s,
        )

    def _passed_threshold(self) -> str | None:
        if self._operator.control.is_resumed or self._is_last_started():
            return None
        return passed_threshold(self.state.plan.thresholds, self.state.totals)
