"""The activities that workflows call; the worker builds them with their dependencies."""

from datetime import datetime

from temporalio import activity

from activities.attempts import Heartbeat, answered_within, attempt
from domain.batch_openings import BatchSettings, plan_scheduled_opening, stored_opening
from domain.errors import BatchMismatchError
from fund_platform.port import FundPlatform
from order_center.port import OrderCenter
from schemas.batches import BatchOpening, BatchPlan, BatchSource, BatchState, OutcomeTotals, ReconciliationReport
from schemas.control import BatchControl, ControlRequest
from schemas.orders import OverdueCursor
from schemas.workflows import (
    ChunkRef,
    CreditAnswer,
    HoldRemainingRequest,
    HoldRequest,
    ProbeAnswer,
    ProbeRequest,
    ScheduledRun,
    StepRequest,
)
from settlement_store.port import SettlementStore
from settling import chunks, probes
from settling.aborting import hold_remaining_chunks
from settling.balancing import reconcile_batch
from settling.freezing import freeze_overdue_orders
from settling.rerunning import freeze_rerun
from settling.turns import CreditTurns, TurnLaterError


class SettlementActivities:
    """Every activity is idempotent and may run twice at once: the stores' compare-and-set decides."""

    def __init__(
        self,
        order_center: OrderCenter,
        store: SettlementStore,
        fund_platform: FundPlatform,
        batch_settings: BatchSettings,
        credits_per_s: int | None = None,
    ) -> None:
        self._order_center = order_center
        self._store = store
        self._fund_platform = fund_platform
        self._batch_settings = batch_settings
        self._turns = CreditTurns(store.caps, credits_per_s)

    @activity.defn
    async def open_scheduled_batch(self, run: ScheduledRun) -> BatchOpening:
        """Open the batch of a run of the daily schedule; waits while too many batches are open or running.

        A batch that is stored under this id already keeps what it was opened with: the settings may have changed
        since an earlier attempt.
        """
        async with attempt(run.batch_id):
            opening = plan_scheduled_opening(self._batch_settings, run.batch_id, run.scheduled_at)
            try:
                await self._store.filling.open_batch(opening)
            except BatchMismatchError:
                return stored_opening(await self._store.batches.fetch_batch(run.batch_id))
            return opening

    @activity.defn
    async def freeze_batch(self, opening: BatchOpening) -> BatchPlan | None:
        """Fill the batch with its orders, freeze it and set it running; goes on where an earlier attempt got to.

        A Kafka batch was filled by intake: it is only frozen, unless it is already, and set running.

        Returns:
            The batch's plan. Only histories from before this set the batch running have None.
        """
        async with attempt(opening.batch_id) as heartbeat:
            if opening.source == BatchSource.KAFKA:
                await self._store.filling.freeze_batch(opening.batch_id, self._batch_settings.calendar)
            elif opening.rerun:
                await self._freeze_rerun(opening, heartbeat)
            else:
                await self._freeze_overdue_orders(opening, heartbeat)
            return await self._start(opening.batch_id)

    async def _freeze_overdue_orders(self, opening: BatchOpening, heartbeat: Heartbeat) -> None:
        details = heartbeat.details_of_last_attempt
        await freeze_overdue_orders(
            self._order_center,
            self._store,
            opening,
            self._batch_settings.calendar,
            after=OverdueCursor(datetime.fromisoformat(details[0]), details[1]) if details else None,
            on_slice=lambda cursor: heartbeat.tell(cursor.after_sale_ends_at.isoformat(), cursor.order_id),
        )

    async def _freeze_rerun(self, opening: BatchOpening, heartbeat: Heartbeat) -> None:
        details = heartbeat.details_of_last_attempt
        await freeze_rerun(
            self._order_center,
            self._store,
            opening,
            self._batch_settings.calendar,
            after_item_no=details[0] if details else -1,
            on_slice=heartbeat.tell,
        )

    @activity.defn
    async def start_batch(self, batch_id: str) -> BatchPlan:
        """Set a frozen batch running, for a run whose `freeze_batch` did not do it yet; its plan."""
        async with attempt(batch_id):
            return await self._start(batch_id)

    async def _start(self, batch_id: str) -> BatchPlan:
        """Set a frozen batch running; its plan, with the thresholds and bounds that hold for this run of it."""
        plan = await self._store.batches.start_batch(batch_id)
        bounds = {
            "thresholds": self._batch_settings.thresholds,
            "credit_deadline_s": self._batch_settings.credit_deadline_s,
        }
        return plan.model_copy(update=bounds)

    @activity.defn
    async def control_batch(self, request: ControlRequest) -> BatchControl:
        """Store what is asked of a batch; what holds now."""
        async with attempt(request.batch_id):
            return await self._store.control.control_batch(request)

    @activity.defn
    async def fetch_control(self, batch_id: str) -> BatchControl:
        """Read what the actions on a batch come to."""
        async with attempt(batch_id):
            return await self._store.control.fetch_control(batch_id)

    @activity.defn
    async def settle_chunk(self, ref: ChunkRef) -> CreditAnswer:
        """Validate a chunk's orders, credit them and close it; its control totals, or how long a cap makes it wait."""
        async with attempt(ref.batch_id, ref.chunk_index):
            try:
                totals = await chunks.settle_chunk(
                    self._order_center, self._store, self._fund_platform, self._turns, ref
                )
            except TurnLaterError as later:
                return CreditAnswer(wait_s=later.wait_s, is_turn_promised=later.is_promised)
            return CreditAnswer(**dict(totals))

    @activity.defn
    async def validate_chunk(self, request: StepRequest) -> OutcomeTotals:
        """Validate a chunk's orders; what is rejected so far."""
        async with attempt(request.batch_id, request.chunk_index):
            return await chunks.validate_chunk(self._order_center, self._store, request, request.set_aside)

    @activity.defn
    async def probe_validation(self, request: ProbeRequest) -> ProbeAnswer:
        """Try to validate a part of a chunk whose validation fails because of its data; has no effect."""
        async with attempt(request.batch_id, request.chunk_index):
            return await probes.probe_validation(self._order_center, self._store, request)

    @activity.defn
    async def credit_chunk(self, request: StepRequest) -> CreditAnswer:
        """Credit a chunk's valid orders and close it; its control totals, or how long a cap makes it wait."""
        async with attempt(request.batch_id, request.chunk_index) as heartbeat:
            try:
                with answered_within(heartbeat, request.credit_deadline_s):
                    totals = await chunks.credit_chunk(
                        self._store, self._fund_platform, self._turns, request, request.set_aside
                    )
            except TurnLaterError as later:
                return CreditAnswer(wait_s=later.wait_s, is_turn_promised=later.is_promised)
            return CreditAnswer(**dict(totals))

    @activity.defn
    async def probe_credits(self, request: ProbeRequest) -> ProbeAnswer:
        """Credit a part of a chunk whose credits fail because of their data, or tell how long a cap makes it wait."""
        async with attempt(request.batch_id, request.chunk_index) as heartbeat:
            try:
                with answered_within(heartbeat, request.credit_deadline_s):
                    return await probes.probe_credits(self._store, self._fund_platform, self._turns, request)
            except TurnLaterError as later:
                return ProbeAnswer(is_bad=False, wait_s=later.wait_s, is_turn_promised=later.is_promised)

    @activity.defn
    async def hold_chunk(self, request: HoldRequest) -> OutcomeTotals:
        """Hold what a failed chunk workflow left without an outcome; the chunk's control totals."""
        async with attempt(request.batch_id, request.chunk_index):
            return await self._store.chunks.hold_chunk(request.batch_id, request.chunk_index, request.detail)

    @activity.defn
    async def hold_remaining_chunks(self, request: HoldRemainingRequest) -> OutcomeTotals:
        """Hold all chunks of a batch that are not closed; the batch's control totals."""
        async with attempt(request.batch_id) as heartbeat:
            return await hold_remaining_chunks(self._store, request, on_slice=heartbeat.beat)

    @activity.defn
    async def fetch_chunk_totals(self, ref: ChunkRef) -> OutcomeTotals:
        """Read a chunk's control totals; fails, to be tried again, until the chunk is closed."""
        async with attempt(ref.batch_id, ref.chunk_index):
            return await self._store.chunks.fetch_chunk_totals(ref.batch_id, ref.chunk_index)

    @activity.defn
    async def close_batch(self, batch_id: str) -> BatchState:
        """Reconcile a batch whose chunks are all closed, and give it its final state."""
        async with attempt(batch_id):
            report: ReconciliationReport = await reconcile_batch(self._store, self._fund_platform, batch_id)
            batch = await self._store.batches.close_batch(batch_id, balanced=report.balanced)
            return batch.state
