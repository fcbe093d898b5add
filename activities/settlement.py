"""The activities that workflows call. The worker constructs them with their dependencies."""

from datetime import datetime

from temporalio import activity

from activities.attempts import Heartbeat, answered_within, attempt
from domain.batch_openings import BatchSettings
from schemas.chunks import ChunkKey
from schemas.orders import OverdueCursor
from schemas.wire.batches import BatchOpening, BatchSource, BatchState
from schemas.wire.control import BatchControl, ControlRequest
from schemas.wire.payloads import (
    BatchRunPlan,
    ChunkRef,
    CreditingResult,
    HoldRemainingRequest,
    HoldRequest,
    ProbeAnswer,
    ProbeRequest,
    ScheduledRun,
    StepRequest,
)
from schemas.wire.totals import OutcomeTotals
from settling import aborting, balancing, both_steps, crediting, isolating, opening, validating
from settling.freezing import freeze_overdue_orders
from settling.rerunning import freeze_rerun
from settling.systems import Systems
from settling.turns import CreditTurns, TurnLaterError


class SettlementActivities:
    """All activities. Each is idempotent and may run twice concurrently: the stores' compare-and-set decides."""

    def __init__(self, systems: Systems, batch_settings: BatchSettings, credits_per_s: int | None = None) -> None:
        self._systems = systems
        self._batch_settings = batch_settings
        self._turns = CreditTurns(systems.store.caps, credits_per_s)

    @activity.defn
    async def open_scheduled_batch(self, run: ScheduledRun) -> BatchOpening:
        """Open the batch of a run of the daily schedule. It is retried while too many batches are open or running."""
        async with attempt(run.batch_id):
            return await opening.open_scheduled_batch(
                self._systems.store, self._batch_settings, run.batch_id, run.scheduled_at
            )

    @activity.defn
    async def prepare_batch(self, batch_opening: BatchOpening) -> BatchRunPlan:
        """Fill the batch with its orders, freeze it and set it running. Continue where an earlier attempt stopped.

        Intake has filled a Kafka batch, so it is only frozen, if it is not frozen yet, and set running.

        Returns:
            The batch's plan, with the thresholds and bounds that the settings define for this run.
        """
        async with attempt(batch_opening.batch_id) as heartbeat:
            if batch_opening.source == BatchSource.KAFKA:
                await self._systems.store.filling.freeze_batch(batch_opening.batch_id, self._batch_settings.calendar)
            elif batch_opening.rerun:
                await self._freeze_rerun(batch_opening, heartbeat)
            else:
                await self._freeze_overdue_orders(batch_opening, heartbeat)
            plan = await self._systems.store.batches.set_running(batch_opening.batch_id)
            return BatchRunPlan(
                **dict(plan),
                thresholds=self._batch_settings.thresholds,
                credit_deadline_s=self._batch_settings.credit_deadline_s,
            )

    async def _freeze_overdue_orders(self, batch_opening: BatchOpening, heartbeat: Heartbeat) -> None:
        details = heartbeat.details_of_last_attempt
        await freeze_overdue_orders(
            self._systems,
            batch_opening,
            self._batch_settings.calendar,
            after=OverdueCursor(datetime.fromisoformat(details[0]), details[1]) if details else None,
            on_slice=lambda cursor: heartbeat.beat_with(cursor.after_sale_ends_at.isoformat(), cursor.order_id),
        )

    async def _freeze_rerun(self, batch_opening: BatchOpening, heartbeat: Heartbeat) -> None:
        details = heartbeat.details_of_last_attempt
        await freeze_rerun(
            self._systems,
            batch_opening,
            self._batch_settings.calendar,
            after_item_no=details[0] if details else -1,
            on_slice=heartbeat.beat_with,
        )

    @activity.defn
    async def control_batch(self, request: ControlRequest) -> BatchControl:
        """Store an action on a batch, and return the batch's control state."""
        async with attempt(request.batch_id):
            return await self._systems.store.control.control_batch(request)

    @activity.defn
    async def fetch_control(self, batch_id: str) -> BatchControl:
        """Return the control state that results from the actions on a batch."""
        async with attempt(batch_id):
            return await self._systems.store.control.fetch_control(batch_id)

    @activity.defn
    async def settle_chunk(self, ref: ChunkRef) -> CreditingResult:
        """Validate and credit a chunk's orders, and close it. Return its totals, or how long a cap makes it wait."""
        async with attempt(ref.batch_id, ref.chunk_index):
            try:
                totals = await both_steps.settle_chunk(
                    self._systems,
                    self._turns,
                    _key_of(ref),
                    is_turn_promised=ref.is_turn_promised,
                )
            except TurnLaterError as later:
                return CreditingResult(wait_s=later.wait_s, is_turn_promised=later.is_promised)
            return CreditingResult(**dict(totals))

    @activity.defn
    async def validate_chunk(self, request: StepRequest) -> OutcomeTotals:
        """Validate a chunk's orders, and return the totals of the outcomes stored so far."""
        async with attempt(request.batch_id, request.chunk_index):
            validated = await validating.validate_chunk(
                self._systems,
                _key_of(request),
                exclusions=request.exclusions,
            )
            return validated.totals

    @activity.defn
    async def probe_validation(self, request: ProbeRequest) -> ProbeAnswer:
        """Probe the validation of a part of a chunk whose data make its validation fail. This has no effect."""
        async with attempt(request.batch_id, request.chunk_index):
            probe = await isolating.probe_validation(self._systems, _key_of(request), request.items)
            return ProbeAnswer(**probe._asdict())

    @activity.defn
    async def credit_chunk(self, request: StepRequest) -> CreditingResult:
        """Credit a chunk's valid orders and close it. Return its control totals, or how long a cap makes it wait."""
        async with attempt(request.batch_id, request.chunk_index) as heartbeat:
            try:
                with answered_within(heartbeat, request.credit_deadline_s):
                    totals = await crediting.credit_chunk(
                        self._systems,
                        self._turns,
                        _key_of(request),
                        is_turn_promised=request.is_turn_promised,
                        exclusions=request.exclusions,
                    )
            except TurnLaterError as later:
                return CreditingResult(wait_s=later.wait_s, is_turn_promised=later.is_promised)
            return CreditingResult(**dict(totals))

    @activity.defn
    async def probe_credits(self, request: ProbeRequest) -> ProbeAnswer:
        """Probe the crediting of a part of a chunk. Return whether the part is bad, or how long a cap makes it wait."""
        async with attempt(request.batch_id, request.chunk_index) as heartbeat:
            try:
                with answered_within(heartbeat, request.credit_deadline_s):
                    probe = await isolating.probe_credits(
                        self._systems,
                        self._turns,
                        _key_of(request),
                        request.items,
                        is_turn_promised=request.is_turn_promised,
                    )
            except TurnLaterError as later:
                return ProbeAnswer(is_bad=False, wait_s=later.wait_s, is_turn_promised=later.is_promised)
            return ProbeAnswer(**probe._asdict())

    @activity.defn
    async def hold_chunk(self, request: HoldRequest) -> OutcomeTotals:
        """Hold the items that a failed chunk workflow left without an outcome. Return the chunk's control totals."""
        async with attempt(request.batch_id, request.chunk_index):
            return await self._systems.store.chunks.hold_chunk(*_key_of(request), request.detail)

    @activity.defn
    async def hold_remaining_chunks(self, request: HoldRemainingRequest) -> OutcomeTotals:
        """Hold all chunks of a batch that are not closed. Return the batch's control totals."""
        async with attempt(request.batch_id) as heartbeat:
            return await aborting.hold_remaining_chunks(
                self._systems.store, request.batch_id, request.detail, on_slice=heartbeat.beat
            )

    @activity.defn
    async def fetch_chunk_totals(self, ref: ChunkRef) -> OutcomeTotals:
        """Return a chunk's control totals. This fails and is retried until the chunk is closed."""
        async with attempt(ref.batch_id, ref.chunk_index):
            return await self._systems.store.chunks.fetch_chunk_totals(*_key_of(ref))

    @activity.defn
    async def close_batch(self, batch_id: str) -> BatchState:
        """Check the balance of a batch whose chunks are all closed, and set its final state."""
        async with attempt(batch_id):
            return await balancing.close_batch(self._systems.store, self._systems.fund_platform, batch_id)


def _key_of(ref: ChunkRef) -> ChunkKey:
    return ChunkKey(ref.batch_id, ref.chunk_index)
