"""One batch: freeze, settle its chunks through a sliding window of child workflows, reconcile, close."""

import asyncio

from temporalio import workflow
from temporalio.common import SearchAttributeUpdate, WorkflowIDReusePolicy
from temporalio.exceptions import ActivityError, ApplicationError, ChildWorkflowError, WorkflowAlreadyStartedError

from activities.settlement import SettlementActivities
from domain import limits
from domain.control_totals import sum_outcome_totals
from domain.identifiers import chunk_workflow_id
from schemas.batches import BatchOpening, BatchSource, BatchState, OutcomeTotals
from schemas.workflows import (
    BatchResult,
    BatchRun,
    BatchRunProgress,
    BatchRunState,
    ChunkRef,
    HoldRequest,
    ScheduledRun,
)
from workflows import batch_details
from workflows.activity_options import (
    BATCH_ACTIVITY,
    CHUNK_ACTIVITY,
    WORKFLOW_TASK_TIMEOUT,
    chunk_read_activity,
)
from workflows.search_attributes import (
    BATCH_ID,
    BATCH_STATE,
    BUSINESS_DATE,
    EXCEPTION_ITEM_COUNT,
    SCHEDULED_AT,
    chunk_search_attributes,
    exception_item_count,
)
from workflows.settle_chunk import SettleChunkWorkflow


@workflow.defn
class SettleBatchWorkflow:
    """Settles one batch. The stores guard every step, so it may be started, reset or repeated at any time."""

    @workflow.init
    def __init__(self, run: BatchRun) -> None:
        self._opening = run.opening
        self._is_scheduled = run.opening is None
        self._state = run.state
        self._phase = "starting"
        self._in_flight: dict[asyncio.Task[OutcomeTotals], int] = {}

    @workflow.run
    async def run(self, run: BatchRun) -> BatchResult:
        """Settle the batch; its final state and control totals."""
        opening = self._opening = run.opening or await self._open_scheduled()
        state = run.state or await self._freeze_and_start(opening)
        state = await self._settle_chunks(opening, state)
        self._tell("reconciling the items with the plan and the ledger", state)
        final_state = await workflow.execute_activity_method(
            SettlementActivities.close_batch, opening.batch_id, summary="reconcile and close", **BATCH_ACTIVITY
        )
        self._tell(final_state, state)
        workflow.upsert_search_attributes(
            [
                BATCH_STATE.value_set(final_state),
                EXCEPTION_ITEM_COUNT.value_set(exception_item_count(state.totals)),
            ]
        )
        return BatchResult(
            batch_id=opening.batch_id, state=final_state, planned=state.plan.planned, totals=state.totals
        )

    @workflow.query
    def progress(self) -> BatchRunProgress | None:
        """How far the batch is; None until it is frozen."""
        return batch_details.progress_of(self._phase, self._state, self._chunks_in_flight()) if self._state else None

    async def _open_scheduled(self) -> BatchOpening:
        """Open the batch of the daily schedule's run, as of the time that it was scheduled for, however late it is."""
        scheduled_at = workflow.info().typed_search_attributes.get(SCHEDULED_AT)
        if scheduled_at is None:
            raise ApplicationError(
                "This workflow was started without an opening and not by a schedule, so that it has no cutoff. "
                "Nothing was done. Start a batch with: settle run, or: settle schedule trigger",
                non_retryable=True,
            )
        self._tell(batch_details.opening_phase(scheduled_at), None)
        opening = await workflow.execute_activity_method(
            SettlementActivities.open_scheduled_batch,
            ScheduledRun(batch_id=workflow.info().workflow_id, scheduled_at=scheduled_at),
            summary="open the scheduled run's batch",
            **BATCH_ACTIVITY,
        )
        attributes: list[SearchAttributeUpdate[str]] = [BATCH_ID.value_set(opening.batch_id)]
        if opening.business_date:
            attributes.append(BUSINESS_DATE.value_set(opening.business_date.isoformat()))
        workflow.upsert_search_attributes(attributes)
        return opening

    async def _freeze_and_start(self, opening: BatchOpening) -> BatchRunState:
        self._tell(batch_details.freezing_phase(opening), None)
        await workflow.execute_activity_method(
            SettlementActivities.freeze_batch, opening, summary="freeze the batch's orders", **BATCH_ACTIVITY
        )
        plan = await workflow.execute_activity_method(
            SettlementActivities.start_batch, opening.batch_id, summary="start the frozen batch", **BATCH_ACTIVITY
        )
        attributes: list[SearchAttributeUpdate[str]] = [BATCH_STATE.value_set(BatchState.RUNNING)]
        if not opening.business_date and plan.business_date:
            attributes.append(BUSINESS_DATE.value_set(plan.business_date.isoformat()))
        workflow.upsert_search_attributes(attributes)
        return BatchRunState(plan=plan, started_at=workflow.now())

    async def _settle_chunks(self, opening: BatchOpening, state: BatchRunState) -> BatchRunState:
        """Keep at most `window` chunks in flight; a chunk that ends, however it ends, frees its slot.

        Before continuing as new the window is drained, so that no child is in flight then: the default
        parent-close policy would terminate it.
        """
        while state.chunk_index_next < state.plan.chunk_count or self._in_flight:
            if workflow.info().is_continue_as_new_suggested() and not self._in_flight:
                workflow.continue_as_new(BatchRun(opening=opening, state=state))
            while self._has_room(state):
                chunk_index = state.chunk_index_next
                ref = ChunkRef(
                    batch_id=opening.batch_id,
                    chunk_index=chunk_index,
                    cutoff_at=state.plan.cutoff_at,
                    acknowledges=opening.source == BatchSource.KAFKA,
                )
                self._in_flight[asyncio.create_task(self._settle_chunk(ref))] = chunk_index
                state = state.model_copy(update={"chunk_index_next": chunk_index + 1})
            is_draining = workflow.info().is_continue_as_new_suggested()
            self._tell("finishing what is in flight, to go on in a new run" if is_draining else "settling", state)
            done, _ = await workflow.wait(self._in_flight, return_when=asyncio.FIRST_COMPLETED)
            state = _with_closed(state, [task.result() for task in done])
            for task in done:
                del self._in_flight[task]
        return state

    def _has_room(self, state: BatchRunState) -> bool:
        return (
            state.chunk_index_next < state.plan.chunk_count
            and len(self._in_flight) < state.plan.window
            and not workflow.info().is_continue_as_new_suggested()
        )

    async def _settle_chunk(self, ref: ChunkRef) -> OutcomeTotals:
        """Run one chunk's child workflow to its end; a failed or terminated one is an outcome, its items held.

        An id that is taken is an answer: the chunk is closed, or the child that has the id is about to close it.
        If neither comes true in time, that child may have failed, which frees the id: the start is tried again.
        """
        for deadline_s in limits.CHUNK_READ_DEADLINES_S:
            try:
                return await self._run_child(ref)
            except WorkflowAlreadyStartedError:
                totals = await self._read_totals(ref, deadline_s)
                if totals:
                    return totals
            except ChildWorkflowError as error:
                return await self._hold(ref, f"The chunk's workflow did not complete: {error.cause or error}")
        return await self._hold(ref, "The chunk's workflow ran under another batch workflow and did not end in time.")

    async def _run_child(self, ref: ChunkRef) -> OutcomeTotals:
        return await workflow.execute_child_workflow(
            SettleChunkWorkflow.run,
            ref,
            id=chunk_workflow_id(ref.batch_id, ref.chunk_index),
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
            task_timeout=WORKFLOW_TASK_TIMEOUT,
            search_attributes=chunk_search_attributes(ref.batch_id),
            static_summary=f"chunk {ref.chunk_index} of batch {ref.batch_id}",
            static_details=batch_details.CHUNK_STATIC_DETAILS,
        )

    async def _read_totals(self, ref: ChunkRef, deadline_s: float) -> OutcomeTotals | None:
        """The totals of a chunk that another run closes; None if it is not closed by the deadline."""
        try:
            return await workflow.execute_activity_method(
                SettlementActivities.fetch_chunk_totals,
                ref,
                summary=f"read chunk {ref.chunk_index}, settled before",
                **chunk_read_activity(deadline_s),
            )
        except ActivityError:
            return None

    async def _hold(self, ref: ChunkRef, detail: str) -> OutcomeTotals:
        return await workflow.execute_activity_method(
            SettlementActivities.hold_chunk,
            HoldRequest(**ref.model_dump(), detail=detail),
            summary=f"hold what is left of chunk {ref.chunk_index}",
            **CHUNK_ACTIVITY,
        )

    def _chunks_in_flight(self) -> list[int]:
        return sorted(self._in_flight.values())

    def _tell(self, phase: str, state: BatchRunState | None) -> None:
        self._phase, self._state = phase, state
        details = batch_details.current_details(phase, state, self._chunks_in_flight(), workflow.now())
        if self._opening and (self._is_scheduled or workflow.info().continued_run_id):
            # A schedule's static details know no cutoff, and continuing as new leaves them behind: the web UI shows
            # these instead.
            details = f"{details}\n\n{batch_details.static_details(self._opening)}"
        workflow.set_current_details(details)


def _with_closed(state: BatchRunState, closed: list[OutcomeTotals]) -> BatchRunState:
    return state.model_copy(
        update={
            "totals": sum_outcome_totals([state.totals, *closed]),
            "chunk_closed_count": state.chunk_closed_count + len(closed),
        }
    )
