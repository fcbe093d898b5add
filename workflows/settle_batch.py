"""The workflow of one batch: open, freeze, settle its chunks, hold what an abort left, check the balance, close."""

from temporalio import workflow
from temporalio.common import SearchAttributeUpdate
from temporalio.exceptions import ApplicationError

from activities.settlement import SettlementActivities
from schemas.wire.batches import BatchOpening
from schemas.wire.control import BatchControl, ControlAction, ControlInput, WindowInput
from schemas.wire.payloads import (
    BatchResult,
    BatchRun,
    BatchRunProgress,
    BatchRunState,
    HoldRemainingRequest,
    ScheduledRun,
)
from workflows import batch_details
from workflows.activity_options import BATCH_ACTIVITY
from workflows.chunk_window import ChunkWindow
from workflows.operator_control import OperatorControl
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
    """Settles one batch. The stores guard every step, so it may be started, reset or run again at any time."""

    @workflow.init
    def __init__(self, run: BatchRun) -> None:
        self._opening = run.opening
        self._is_scheduled = run.opening is None
        batch_id = run.opening.batch_id if run.opening else workflow.info().workflow_id
        self._operator = OperatorControl(batch_id, run.control, self._on_pause_change, is_open=not self._is_scheduled)
        self._chunks: ChunkWindow | None = None  # until the batch is frozen
        self._phase = "starting"

    @workflow.run
    async def run(self, run: BatchRun) -> BatchResult:
        """Settle the batch. Return its final state and control totals."""
        opening = self._opening = run.opening or await self._open_scheduled()
        self._operator.is_open = True
        state = run.state or await self._freeze(opening)
        chunks = self._chunks = ChunkWindow(opening, state, self._operator)
        await self._settle_chunks(opening, chunks)
        self._operator.is_closing = True
        if self._operator.control.is_aborting:
            await self._hold_the_rest(opening, chunks)
        return await self._close(opening, chunks)

    async def _open_scheduled(self) -> BatchOpening:
        """Open the batch of a run of the daily schedule. The scheduled time decides its cutoff, even in a late run."""
        scheduled_at = workflow.info().typed_search_attributes.get(SCHEDULED_AT)
        if scheduled_at is None:
            raise ApplicationError(
                "This workflow has no cutoff, because it was started without an opening and not by a schedule. It did "
                "nothing. Start batches with Settle's own commands or its schedule.",
                non_retryable=True,
            )
        self._begin(batch_details.opening_phase(scheduled_at))
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

    async def _freeze(self, opening: BatchOpening) -> BatchRunState:
        """Freeze the batch's orders and set it running, or paused if it was paused in the meantime."""
        self._begin(batch_details.freezing_phase(opening))
        plan = await workflow.execute_activity_method(
            SettlementActivities.prepare_batch,
            opening,
            summary="freeze the orders and set the batch running",
            **BATCH_ACTIVITY,
        )
        self._operator.apply(plan.control)
        attributes: list[SearchAttributeUpdate[str]] = [BATCH_STATE.value_set(self._operator.running_state)]
        if not opening.business_date:
            attributes.append(BUSINESS_DATE.value_set(plan.business_date.isoformat()))
        workflow.upsert_search_attributes(attributes)
        return BatchRunState(plan=plan, started_at=workflow.now())

    async def _settle_chunks(self, opening: BatchOpening, chunks: ChunkWindow) -> None:
        """Start chunks as others end, until no chunk is in flight and none remains to be started.

        A paused batch does not end. Before continuing as new, all chunks in flight must end, because the default
        parent-close policy would terminate them.
        """
        self._begin(batch_details.SETTLING)
        while True:
            if not chunks.chunks_in_flight:
                # An accepted action takes effect before the batch ends, or is carried over to the next run.
                await workflow.wait_condition(workflow.all_handlers_finished)
                if chunks.is_over():
                    return
                if workflow.info().is_continue_as_new_suggested():
                    workflow.continue_as_new(
                        BatchRun(opening=opening, state=chunks.state, control=self._operator.control)
                    )
            chunks.start_chunks()
            self._show()
            await workflow.wait_condition(chunks.has_news)
            pause_reason = chunks.take_results()
            self._show()
            if pause_reason:
                await self._operator.pause_itself(pause_reason)

    async def _hold_the_rest(self, opening: BatchOpening, chunks: ChunkWindow) -> None:
        self._begin("holding the items that the abort left without an outcome")
        why = f": {self._operator.control.reason}" if self._operator.control.reason else "."
        totals = await workflow.execute_activity_method(
            SettlementActivities.hold_remaining_chunks,
            HoldRemainingRequest(batch_id=opening.batch_id, detail=f"The batch was aborted{why}"),
            summary="hold the items that the abort left",
            **BATCH_ACTIVITY,
        )
        chunks.close_all(totals)

    async def _close(self, opening: BatchOpening, chunks: ChunkWindow) -> BatchResult:
        self._begin("checking the balance of the items, the plan and the ledger")
        final_state = await workflow.execute_activity_method(
            SettlementActivities.close_batch,
            opening.batch_id,
            summary="check the balance and close the batch",
            **BATCH_ACTIVITY,
        )
        self._begin(final_state)
        plan, totals = chunks.state.plan, chunks.state.totals
        workflow.upsert_search_attributes(
            [BATCH_STATE.value_set(final_state), EXCEPTION_ITEM_COUNT.value_set(exception_item_count(totals))]
        )
        await workflow.wait_condition(workflow.all_handlers_finished)
        return BatchResult(batch_id=opening.batch_id, state=final_state, planned=plan.planned, totals=totals)

    @workflow.query
    def progress(self) -> BatchRunProgress | None:
        """Return the batch's progress, or None until it is frozen."""
        if self._chunks is None:
            return None
        return batch_details.progress_of(self._shown_phase(), self._chunks.state, self._chunks.chunks_in_flight)

    def _begin(self, phase: str) -> None:
        self._phase = phase
        self._show()

    def _shown_phase(self) -> str:
        if self._phase != batch_details.SETTLING:
            return self._phase
        is_run_ending = workflow.info().is_continue_as_new_suggested()
        return batch_details.settling_phase(self._operator.control, is_run_ending=is_run_ending)

    def _show(self) -> None:
        phase, control, chunks = self._shown_phase(), self._operator.control, self._chunks
        details = f"**{phase}**"
        if chunks:
            details = batch_details.current_details(
                phase, control, chunks.state, chunks.chunks_in_flight, workflow.now()
            )
        if self._opening and (self._is_scheduled or workflow.info().continued_run_id):
            # The static details of a scheduled run have no cutoff, and continuing as new drops static details.
            details = f"{details}\n\n{batch_details.static_details(self._opening)}"
        workflow.set_current_details(details)

    def _on_pause_change(self) -> None:
        if self._chunks is None or self._operator.is_closing:
            return  # before, `_freeze` shows the state; after, the batch is neither running nor paused
        if not self._operator.control.is_paused:
            self._chunks.forget_probes()
        workflow.upsert_search_attributes([BATCH_STATE.value_set(self._operator.running_state)])
        self._show()

    @workflow.query
    def control(self) -> BatchControl:
        """Return the control state that results from the actions that reached this workflow."""
        return self._operator.control

    @workflow.update
    async def catch_up(self) -> BatchControl:
        """Apply the store's control state and return the current one.

        The store's is newer than this workflow's if Temporal was restored to an older state.
        """
        return await self._operator.catch_up()

    @workflow.update
    async def pause(self, asked: ControlInput) -> BatchControl:
        """Start no more chunks until a person resumes the batch. Chunks in flight finish. Return the control state."""
        return await self._operator.store_action(ControlAction.PAUSE, asked)

    @pause.validator
    def _check_pause(self, asked: ControlInput) -> None:
        self._operator.require_sense(ControlAction.PAUSE, asked)

    @workflow.update
    async def resume(self, asked: ControlInput) -> BatchControl:
        """Continue after a pause. From now on the batch ignores its thresholds. Return the control state."""
        return await self._operator.store_action(ControlAction.RESUME, asked)

    @resume.validator
    def _check_resume(self, asked: ControlInput) -> None:
        self._operator.require_sense(ControlAction.RESUME, asked)

    @workflow.update
    async def abort(self, asked: ControlInput) -> BatchControl:
        """Start no more chunks. Chunks in flight finish, the rest is held, and the batch is closed."""
        return await self._operator.store_action(ControlAction.ABORT, asked)

    @abort.validator
    def _check_abort(self, asked: ControlInput) -> None:
        self._operator.require_sense(ControlAction.ABORT, asked)

    @workflow.update
    async def window(self, asked: WindowInput) -> BatchControl:
        """Set the maximum number of chunks in flight. Return the control state."""
        return await self._operator.store_action(ControlAction.WINDOW, asked)

    @window.validator
    def _check_window(self, asked: WindowInput) -> None:
        self._operator.require_sense(ControlAction.WINDOW, asked)
