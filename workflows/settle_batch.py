"""One batch: open, freeze, settle its chunks, hold what an abort left, check the balance and close."""

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
    """Settles one batch. The stores guard every step, so it may be started, reset or repeated at any time."""

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
        """Settle the batch; its final state and control totals."""
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
        """Open the batch of the daily schedule's run, as of the time that it was scheduled for, however late it is."""
        scheduled_at = workflow.info().typed_search_attributes.get(SCHEDULED_AT)
        if scheduled_at is None:
            raise ApplicationError(
                "This workflow was started without an opening and not by a schedule, so that it has no cutoff. "
                "Nothing was done. Batches are started by Settle's own commands or by its schedule.",
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
        """Freeze the batch's orders and set it running, or paused if it was paused meanwhile."""
        self._begin(batch_details.freezing_phase(opening))
        plan = await workflow.execute_activity_method(
            SettlementActivities.prepare_batch,
            opening,
            summary="freeze the orders, set the batch running",
            **BATCH_ACTIVITY,
        )
        self._operator.apply(plan.control)
        attributes: list[SearchAttributeUpdate[str]] = [BATCH_STATE.value_set(self._operator.running_state)]
        if not opening.business_date:
            attributes.append(BUSINESS_DATE.value_set(plan.business_date.isoformat()))
        workflow.upsert_search_attributes(attributes)
        return BatchRunState(plan=plan, started_at=workflow.now())

    async def _settle_chunks(self, opening: BatchOpening, chunks: ChunkWindow) -> None:
        """Start chunks as others end, until none is in flight and none is to be started.

        While the batch is paused it does not end. Before continuing as new the window is drained: the default
        parent-close policy would terminate a child that is in flight then.
        """
        self._begin(batch_details.SETTLING)
        while True:
            if not chunks.chunks_in_flight:
                # An action that was accepted holds before the batch ends, or is carried over.
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
        self._begin("holding what the abort left without an outcome")
        why = f": {self._operator.control.reason}" if self._operator.control.reason else "."
        totals = await workflow.execute_activity_method(
            SettlementActivities.hold_remaining_chunks,
            HoldRemainingRequest(batch_id=opening.batch_id, detail=f"The batch was aborted{why}"),
            summary="hold what the abort left",
            **BATCH_ACTIVITY,
        )
        chunks.close_all(totals)

    async def _close(self, opening: BatchOpening, chunks: ChunkWindow) -> BatchResult:
        self._begin("checking the balance of the items, the plan and the ledger")
        final_state = await workflow.execute_activity_method(
            SettlementActivities.close_batch, opening.batch_id, summary="check the balance, close", **BATCH_ACTIVITY
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
        """How far the batch is; None until it is frozen."""
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
            # A schedule's static details know no cutoff, and continuing as new leaves them behind.
            details = f"{details}\n\n{batch_details.static_details(self._opening)}"
        workflow.set_current_details(details)

    def _on_pause_change(self) -> None:
        if self._chunks is None or self._operator.is_closing:
            return  # freezing shows what holds by then; a batch that is being closed is neither running nor paused
        if not self._operator.control.is_paused:
            self._chunks.forget_probes()
        workflow.upsert_search_attributes([BATCH_STATE.value_set(self._operator.running_state)])
        self._show()

    @workflow.query
    def control(self) -> BatchControl:
        """What the actions that this workflow knows of come to."""
        return self._operator.control

    @workflow.update
    async def catch_up(self) -> BatchControl:
        """Do as the store says: it knows more if Temporal was put back to an older state. What holds now."""
        return await self._operator.catch_up()

    @workflow.update
    async def pause(self, asked: ControlInput) -> BatchControl:
        """Start no more chunks, until a person resumes the batch; those in flight finish. What holds now."""
        return await self._operator.store_action(ControlAction.PAUSE, asked)

    @pause.validator
    def _check_pause(self, asked: ControlInput) -> None:
        self._operator.require_sense(ControlAction.PAUSE, asked)

    @workflow.update
    async def resume(self, asked: ControlInput) -> BatchControl:
        """Go on after a pause; the thresholds are lifted for the rest of the batch. What holds now."""
        return await self._operator.store_action(ControlAction.RESUME, asked)

    @resume.validator
    def _check_resume(self, asked: ControlInput) -> None:
        self._operator.require_sense(ControlAction.RESUME, asked)

    @workflow.update
    async def abort(self, asked: ControlInput) -> BatchControl:
        """Start no more chunks for good; those in flight finish, the rest is held, the batch is closed."""
        return await self._operator.store_action(ControlAction.ABORT, asked)

    @abort.validator
    def _check_abort(self, asked: ControlInput) -> None:
        self._operator.require_sense(ControlAction.ABORT, asked)

    @workflow.update
    async def window(self, asked: WindowInput) -> BatchControl:
        """Keep as many chunks in flight as are named, from now on. What holds now."""
        return await self._operator.store_action(ControlAction.WINDOW, asked)

    @window.validator
    def _check_window(self, asked: WindowInput) -> None:
        self._operator.require_sense(ControlAction.WINDOW, asked)
