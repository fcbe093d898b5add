"""One batch: freeze, settle its chunks through a sliding window of child workflows, reconcile, close."""

import asyncio
from functools import partial

from temporalio import workflow
from temporalio.common import SearchAttributeUpdate
from temporalio.exceptions import ActivityError, ApplicationError

from activities.settlement import SettlementActivities
from domain import limits
from domain.batch_control import is_in_effect, passed_threshold, plan_control, plan_own_pause, refused
from domain.control_totals import sum_outcome_totals
from schemas.batches import BatchOpening, BatchSource, BatchState
from schemas.control import BatchControl, ControlAction, ControlInput, ControlRequest, WindowInput
from schemas.workflows import (
    BatchResult,
    BatchRun,
    BatchRunProgress,
    BatchRunState,
    ChunkResult,
    ChunkRun,
    HoldRemainingRequest,
    ScheduledRun,
)
from workflows import batch_details
from workflows.activity_options import BATCH_ACTIVITY, CHUNK_ACTIVITY
from workflows.chunk_runs import run_chunk
from workflows.search_attributes import (
    BATCH_ID,
    BATCH_STATE,
    BUSINESS_DATE,
    EXCEPTION_ITEM_COUNT,
    SCHEDULED_AT,
    exception_item_count,
)


@workflow.defn
class SettleBatchWorkflow:
    """Settles one batch. The stores guard every step, so it may be started, reset or repeated at any time."""

    @workflow.init
    def __init__(self, run: BatchRun) -> None:
        self._opening = run.opening
        self._is_scheduled = run.opening is None
        self._state = run.state
        self._control = run.control
        self._probe_count = run.state.probe_count if run.state else 0
        self._is_closing = False
        self._asking = asyncio.Lock()
        self._phase = "starting"
        self._in_flight: dict[asyncio.Task[ChunkResult], int] = {}

    @workflow.run
    async def run(self, run: BatchRun) -> BatchResult:
        """Settle the batch; its final state and control totals."""
        opening = self._opening = run.opening or await self._open_scheduled()
        state = run.state or await self._freeze_and_start(opening)
        state = await self._settle_chunks(opening, state)
        self._is_closing = True
        if self._control.is_aborting:
            state = await self._hold_the_rest(opening, state)
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
        await workflow.wait_condition(workflow.all_handlers_finished)
        return BatchResult(
            batch_id=opening.batch_id, state=final_state, planned=state.plan.planned, totals=state.totals
        )

    @workflow.query
    def progress(self) -> BatchRunProgress | None:
        """How far the batch is; None until it is frozen."""
        return batch_details.progress_of(self._phase, self._state, self._chunks_in_flight()) if self._state else None

    @workflow.query
    def control(self) -> BatchControl:
        """What the actions that this workflow knows of come to."""
        return self._control

    @workflow.update
    async def catch_up(self) -> BatchControl:
        """Do as the store says: it knows more if Temporal was put back to an older state. What holds now."""
        control = await workflow.execute_activity_method(
            SettlementActivities.fetch_control,
            workflow.info().workflow_id,
            summary="read what was asked for",
            **CHUNK_ACTIVITY,
        )
        self._apply(control)
        return self._control

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
        plan = await workflow.execute_activity_method(
            SettlementActivities.freeze_batch, opening, summary="freeze the orders, start the batch", **BATCH_ACTIVITY
        )
        self._apply(plan.control)
        attributes: list[SearchAttributeUpdate[str]] = [BATCH_STATE.value_set(self._running_state())]
        if not opening.business_date:
            attributes.append(BUSINESS_DATE.value_set(plan.business_date.isoformat()))
        workflow.upsert_search_attributes(attributes)
        state = BatchRunState(plan=plan, started_at=workflow.now())
        self._tell(self._settling_phase(), state)  # before the handlers are waited for: they tell of a change
        return state

    async def _settle_chunks(self, opening: BatchOpening, state: BatchRunState) -> BatchRunState:
        """Keep at most `window` chunks in flight; a chunk that ends, however it ends, frees its slot.

        While the batch is paused no chunk is started, and the batch does not end. Before continuing as new the window
        is drained, so that no child is in flight then: the default parent-close policy would terminate it.
        """
        while True:
            if not self._in_flight:
                # An action that was accepted holds before the batch ends, or is carried over.
                await workflow.wait_condition(workflow.all_handlers_finished)
                if self._is_over(state):
                    return state
                if workflow.info().is_continue_as_new_suggested():
                    state = state.model_copy(update={"probe_count": self._probe_count})
                    workflow.continue_as_new(BatchRun(opening=opening, state=state, control=self._control))
            state = self._start_chunks(opening, state)
            self._tell(self._settling_phase(), state)
            await workflow.wait_condition(partial(self._has_news, state))
            state = await self._take_results(opening, state)

    def _is_over(self, state: BatchRunState) -> bool:
        """Whether no chunk is to be started any more."""
        is_started = state.chunk_index_next >= state.plan.chunk_count
        return self._control.is_aborting or (is_started and not self._control.is_paused)

    def _has_room(self, state: BatchRunState) -> bool:
        return (
            state.chunk_index_next < state.plan.chunk_count
            and len(self._in_flight) < self._window(state)
            and not self._control.is_paused
            and not self._control.is_aborting
            and not workflow.info().is_continue_as_new_suggested()
        )

    def _has_news(self, state: BatchRunState) -> bool:
        """Whether a chunk has ended, or an action lets one be started or the batch go on."""
        if self._in_flight:
            return any(task.done() for task in self._in_flight) or self._has_room(state)
        return self._is_over(state) or self._has_room(state) or workflow.info().is_continue_as_new_suggested()

    def _window(self, state: BatchRunState) -> int:
        return self._control.window or state.plan.window

    def _start_chunks(self, opening: BatchOpening, state: BatchRunState) -> BatchRunState:
        while self._has_room(state):
            chunk_index = state.chunk_index_next
            chunk = ChunkRun(
                batch_id=opening.batch_id,
                chunk_index=chunk_index,
                cutoff_at=state.plan.cutoff_at,
                acknowledges=opening.source == BatchSource.KAFKA,
                probe_count_max=max(
                    0, min(limits.CHUNK_PROBE_COUNT_MAX, limits.BATCH_PROBE_COUNT_MAX - self._probe_count)
                ),
                credit_deadline_s=state.plan.credit_deadline_s,
            )
            self._in_flight[asyncio.create_task(run_chunk(chunk))] = chunk_index
            state = state.model_copy(update={"chunk_index_next": chunk_index + 1})
        return state

    async def _take_results(self, opening: BatchOpening, state: BatchRunState) -> BatchRunState:
        """Add up the chunks that have ended; pause the batch if one of them, or all together, give reason to."""
        done = [task for task in self._in_flight if task.done()]
        results = [task.result() for task in done]
        for task in done:
            del self._in_flight[task]
        self._probe_count += sum(result.probe_count for result in results)
        state = state.model_copy(
            update={
                "totals": sum_outcome_totals([state.totals, *results]),
                "chunk_closed_count": state.chunk_closed_count + len(results),
            }
        )
        self._tell(self._settling_phase(), state)
        reasons = [result.pause_reason for result in results if result.pause_reason]
        reason = reasons[0] if reasons else self._threshold_passed(state)
        if reason:
            await self._pause_itself(opening, reason)
        return state

    def _threshold_passed(self, state: BatchRunState) -> str | None:
        is_started = state.chunk_index_next >= state.plan.chunk_count
        if self._control.is_resumed or is_started:
            return None
        return passed_threshold(state.plan.thresholds, state.totals)

    async def _pause_itself(self, opening: BatchOpening, reason: str) -> None:
        if self._control.is_paused or self._control.is_aborting:
            return
        try:
            await self._ask(plan_own_pause(opening.batch_id, reason))
        except ActivityError:
            # Refused, if somebody aborted the batch meanwhile.
            await workflow.wait_condition(workflow.all_handlers_finished)
            if not self._control.is_aborting:
                raise

    async def _hold_the_rest(self, opening: BatchOpening, state: BatchRunState) -> BatchRunState:
        self._tell("holding what the abort left without an outcome", state)
        why = f": {self._control.reason}" if self._control.reason else "."
        totals = await workflow.execute_activity_method(
            SettlementActivities.hold_remaining_chunks,
            HoldRemainingRequest(batch_id=opening.batch_id, detail=f"The batch was aborted{why}"),
            summary="hold what the abort left",
            **BATCH_ACTIVITY,
        )
        return state.model_copy(update={"totals": totals, "chunk_closed_count": state.plan.chunk_count})

    @workflow.update
    async def pause(self, asked: ControlInput) -> BatchControl:
        """Start no more chunks, until a person resumes the batch; those in flight finish. What holds now."""
        return await self._ask(self._request_of(ControlAction.PAUSE, asked))

    @pause.validator
    def _check_pause(self, asked: ControlInput) -> None:
        self._require_sense(ControlAction.PAUSE, asked)

    @workflow.update
    async def resume(self, asked: ControlInput) -> BatchControl:
        """Go on after a pause; the thresholds are lifted for the rest of the batch. What holds now."""
        return await self._ask(self._request_of(ControlAction.RESUME, asked))

    @resume.validator
    def _check_resume(self, asked: ControlInput) -> None:
        self._require_sense(ControlAction.RESUME, asked)

    @workflow.update
    async def abort(self, asked: ControlInput) -> BatchControl:
        """Start no more chunks for good; those in flight finish, the rest is held, the batch is closed."""
        return await self._ask(self._request_of(ControlAction.ABORT, asked))

    @abort.validator
    def _check_abort(self, asked: ControlInput) -> None:
        self._require_sense(ControlAction.ABORT, asked)

    @workflow.update
    async def window(self, asked: WindowInput) -> BatchControl:
        """Keep as many chunks in flight as are named, from now on. What holds now."""
        return await self._ask(self._request_of(ControlAction.WINDOW, asked))

    @window.validator
    def _check_window(self, asked: WindowInput) -> None:
        self._require_sense(ControlAction.WINDOW, asked)

    def _request_of(self, action: ControlAction, asked: ControlInput) -> ControlRequest:
        batch_id = self._opening.batch_id if self._opening else workflow.info().workflow_id
        return ControlRequest(**asked.model_dump(), batch_id=batch_id, action=action)

    def _require_sense(self, action: ControlAction, asked: ControlInput) -> None:
        """Refuse, before it is accepted, what makes no sense; the store has the last word."""
        request = self._request_of(action, asked)
        after = plan_control(BatchState.RUNNING, self._control, request)
        if self._opening is None:
            raise refused(request, "the batch is not open yet; ask again in a moment")
        if self._is_closing and after != self._control:
            raise refused(request, "all its chunks have ended, and it is being closed")

    async def _ask(self, request: ControlRequest) -> BatchControl:
        """Store an action, and do as it says; what holds now.

        One at a time: an attempt that is made again must not undo what another action has changed since.
        """
        async with self._asking:
            while not self._is_closing:
                seen = {"action_no_seen": self._control.action_no}
                control = await workflow.execute_activity_method(
                    SettlementActivities.control_batch,
                    request.model_copy(update=seen),
                    summary=f"{request.action}, asked for by {request.requested_by}",
                    **CHUNK_ACTIVITY,
                )
                self._apply(control)
                if is_in_effect(control, request):
                    break
        return self._control

    def _apply(self, control: BatchControl) -> None:
        """Do as the actions so far say, unless later ones are known already."""
        if control.action_no <= self._control.action_no:
            return
        is_pause_changed = control.is_paused != self._control.is_paused
        self._control = control
        if is_pause_changed and not control.is_paused:
            self._probe_count = 0
        if is_pause_changed and self._state:
            workflow.upsert_search_attributes([BATCH_STATE.value_set(self._running_state())])
            self._tell(self._settling_phase(), self._state)

    def _running_state(self) -> BatchState:
        return BatchState.PAUSED if self._control.is_paused else BatchState.RUNNING

    def _settling_phase(self) -> str:
        if self._control.is_paused:
            return "paused"
        if self._control.is_aborting:
            return "aborting: what is in flight finishes"
        if workflow.info().is_continue_as_new_suggested():
            return "finishing what is in flight, to go on in a new run"
        return "settling"

    def _chunks_in_flight(self) -> list[int]:
        return sorted(self._in_flight.values())

    def _tell(self, phase: str, state: BatchRunState | None) -> None:
        self._phase, self._state = phase, state
        details = batch_details.current_details(phase, state, self._control, self._chunks_in_flight(), workflow.now())
        if self._opening and (self._is_scheduled or workflow.info().continued_run_id):
            # A schedule's static details know no cutoff, and continuing as new leaves them behind: the web UI shows
            # these instead.
            details = f"{details}\n\n{batch_details.static_details(self._opening)}"
        workflow.set_current_details(details)
