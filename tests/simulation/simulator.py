"""The run of one seed: whole batches in the real workflows and activities, with faults, compared with the model."""

import asyncio
import time
import traceback
import warnings
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from datetime import timedelta
from functools import partial
from itertools import count
from typing import Any, NamedTuple
from unittest.mock import patch

from temporalio.client import Client
from temporalio.common import RetryPolicy
from temporalio.worker import Worker
from temporalio.workflow import Info

from domain import limits
from domain.errors import BatchNotOpenError
from runtime.settings import Settings
from schemas.orders import OrderRecord, OrderStatus
from schemas.wire.batches import FINAL_STATES, BatchOpening, BatchSource, BatchState
from schemas.wire.control import ControlAction, FailureThresholds
from settling import validating
from tests.simulation.chance import Chance
from tests.simulation.checks import find_faults, find_stuck, find_unsettled
from tests.simulation.fault_layer import FaultLayer, FaultyAttempts
from tests.simulation.faults import Fault, FaultKind, Place
from tests.simulation.operators import Operators, plan_acts
from tests.simulation.world import Storage, World
from tests.simulation.world_orders import CUTOFF_AT, Kind, Order, plan_orders
from tests.support.settlements import CALENDAR, kafka_opening_of, rerun_opening_of
from workers.settlement_worker import build_worker
from workers.sweep import sweep
from workflows import activity_options
from workflows.batch_client import start_batch_workflow

SWEEP_INTERVAL_S = 0.02
# All waits are short here. If nothing is attempted for this long, batches that are not final are stuck.
STUCK_S = 6.0
PHASE_S_MAX = 60.0
INTAKE_ATTEMPTS_MAX = 20

_LOW_THRESHOLDS = FailureThresholds(
    rejected_percent_max=20, rejected_count_max=2, failed_percent_max=1, failed_count_max=1
)
_SHORT_CREDIT_DEADLINE_S = 0.05
_SEEN_COUNT = 3
_ROLES = ("first", "kafka", "rerun-first", "second")
_serial = count()


class SeedReport(NamedTuple):
    """The result of a seed."""

    seed: int
    faults: list[str]
    dealt: Counter[str]
    order_count: int
    batch_count: int


async def simulate(client: Client, seed: int, storage: Storage) -> SeedReport:
    """Run one seed.

    Args:
        client: a client of Temporal's test server. Several seeds may use it one after another.
        seed: determines all faults, orders and acts.
        storage: empty systems.
    """
    with _hastened(Chance(seed)):
        return await _Simulation(client, seed, storage).run()


@contextmanager
def _hastened(chance: Chance) -> Iterator[None]:
    """Patch Settle to wait briefly and to continue as new after a few events.

    The test server's time skipping is not used: an activity that is running when its workflow ends would leave the
    server's clock locked for good.
    """
    event_count = chance.pick((25, 60, 1_000_000), "events of a run")
    retry_policy = RetryPolicy(initial_interval=timedelta(milliseconds=1), maximum_interval=timedelta(milliseconds=10))
    with ExitStack() as patches:
        patches.enter_context(warnings.catch_warnings())
        # The SDK warns if an activity ends while its cancellation is on its way.
        warnings.filterwarnings("ignore", message="Cannot find activity to cancel")
        for target, name, value in (
            (validating.judge, "__defaults__", ((0, 0),)),
            (limits, "CONTROL_ANSWER_TIMEOUT_S", 5),
            (limits, "SWEEP_GRACE_S", -1),
            (limits, "CHUNK_PROBE_COUNT_MAX", 3 if _has_few_probes(chance) else limits.CHUNK_PROBE_COUNT_MAX),
            (limits, "CHUNK_READ_RETRY_INITIAL_S", 0.005),
            (limits, "CHUNK_READ_RETRY_MAX_S", 0.05),
            (limits, "CHUNK_READ_DEADLINES_S", (0.1, 0.2, 1, 5)),
            (Info, "is_continue_as_new_suggested", lambda info: info.get_current_history_length() >= event_count),
        ):
            patches.enter_context(patch.object(target, name, value))
        for options in (activity_options.CHUNK_ACTIVITY, activity_options.BATCH_ACTIVITY):
            patches.enter_context(patch.dict(options, retry_policy=retry_policy))
        yield


def _has_few_probes(chance: Chance) -> bool:
    """Return whether chunks may make only a few probes. Some items are then held at the bound."""
    return chance.happens(0.25, "few probes")


class _Simulation:
    def __init__(self, client: Client, seed: int, storage: Storage) -> None:
        self._client = client
        self._seed = seed
        self._chance = Chance(seed)
        self._prefix = f"seed-{seed}-{next(_serial)}."
        self._orders = plan_orders(self._chance)
        self._late = [order for order in self._orders if self._comes_late(order)]
        self._layer = FaultLayer(self._chance)
        self._world = World(self._chance, storage, self._orders, self._layer)
        self._openings: dict[str, BatchOpening] = {}
        self._settings = Settings(task_queue=f"{self._prefix}queue")
        plans = plan_acts(self._chance, _ROLES)
        self._operators = Operators(client, self._settings.task_queue, storage.systems.store, plans, self._openings)
        self._layer.before_calls(self._operators.look)
        self._layer.when_dealt(self._note_fault)
        self._pauses_seen: Counter[str] = Counter()
        self._batch_settings = self._settings.batch_settings
        if self._chance.happens(0.3, "thresholds"):
            self._batch_settings = self._batch_settings._replace(thresholds=_LOW_THRESHOLDS)
        self._is_impatient = self._chance.happens(0.2, "impatient")
        if self._is_impatient:
            self._batch_settings = self._batch_settings._replace(credit_deadline_s=_SHORT_CREDIT_DEADLINE_S)

    async def run(self) -> SeedReport:
        faults: list[str] = []
        await self._world.fill()
        async with self._worker():
            for phase in (self._run_first, self._rerun, self._run_second, self._run_calm):
                faults = await self._run_phase(phase)
                if faults:
                    break
            else:
                faults = await find_unsettled(self._world, self._orders)
        dealt = Counter({str(kind): number for kind, number in self._layer.dealt.items()})
        dealt.update(map(str, self._operators.done))
        return SeedReport(self._seed, faults, dealt, len(self._orders), len(self._openings))

    @asynccontextmanager
    async def _worker(self) -> AsyncIterator[None]:
        attempts = FaultyAttempts(self._layer, lambda batch_id: batch_id.removeprefix(self._prefix))
        with patch("workers.settlement_worker.Worker", partial(Worker, interceptors=[attempts])):
            worker = build_worker(self._client, self._settings.task_queue, self._world.faulty, self._batch_settings)
        try:
            async with worker:
                yield
        finally:
            await self._layer.end()

    async def _run_phase(self, phase: Callable[[], Awaitable[None]]) -> list[str]:
        """Run a phase until all is at rest, and return what is wrong then."""
        try:
            async with asyncio.timeout(PHASE_S_MAX):
                await phase()
                await self._layer.finish()
                self._note_what_may_be_held()
                openings = self._openings.values()
                return self._operators.faults or await find_faults(
                    self._world, self._client, openings, self._operators.batch_ids_with_twin
                )
        except Exception as error:  # noqa: BLE001 (whatever it is, the seed has failed)
            # If the phase took too long, its position is in the traceback of the cancellation.
            frames = traceback.extract_tb((error.__cause__ or error).__traceback__)
            where = " > ".join(frame.name for frame in frames[-4:])
            return [
                f"{phase.__name__} ended with {error!r} at {where}; under way: {self._layer.under_way() or 'nothing'}",
                *await find_stuck(self._world, self._openings.values()),
            ]

    async def _run_first(self) -> None:
        """Run a batch over the Order Center's orders and, concurrently, one that intake fills."""
        on_time = [order for order in self._orders if order not in self._late and order.kind != Kind.UNKNOWN]
        await self._world.load([order.record for order in on_time])
        await self._start(self._manual("first"))
        if self._chance.happens(0.7, "kafka"):
            await self._intake()
        await self._await_final()

    async def _rerun(self) -> None:
        """Run two concurrent reruns of the same items, and one of the items that intake took in."""
        await self._start(self._rerun_of("first", "rerun-first"))
        if self._chance.happens(0.4, "rival rerun"):
            await self._start(self._rerun_of("first", "rival-first"))
        if "kafka" in self._openings:
            await self._start(self._rerun_of("kafka", "rerun-kafka"))
        await self._await_final()

    async def _run_second(self) -> None:
        """Repair, change and add records. Run another batch, and a rerun of a rerun."""
        on_time = [order for order in self._orders if order not in self._late]
        changed = [
            order.record._replace(paid_minor=order.amount_minor + 5)
            for order in on_time
            if order.kind in (Kind.GOOD, Kind.ACCOUNT_WAVERS) and self._chance.happens(0.15, "changes", order.order_id)
        ]
        await self._world.load([*self._repaired(on_time), *changed, *(order.record for order in self._late)])
        await self._start(self._manual("second"))
        await self._start(self._rerun_of("rerun-first", "rerun-again"))
        await self._await_final()

    async def _run_calm(self) -> None:
        """Run without faults, with open accounts and after all late attempts. All valid orders must be settled then."""
        self._layer.is_calm = True
        await self._world.load(self._repaired(self._orders))
        for order in self._orders:
            if order.kind in (Kind.ACCOUNT_CLOSED, Kind.ACCOUNT_WAVERS):
                await self._world.open_account(order)
        await self._layer.wake_all()
        await self._start(self._manual("last"))
        await self._await_final()
        for role, opening in list(self._openings.items()):
            exceptions = await self._world.systems.store.filling.fetch_exceptions(
                opening.batch_id, -1, len(self._orders)
            )
            if any(exception.is_latest for exception in exceptions):
                await self._start(self._rerun_of(role, f"last-{role}"))
        await self._await_final()

    def _note_fault(self, place: Place, fault: Fault) -> None:
        """Note what a fault permits in the model.

        A call that fails for good, or an incomplete answer, acts like a data error: the chunk's orders may be held. An
        impatient seed gives up its credit requests early, which also may hold them.
        """
        chunk = (self._prefix + place.batch, place.chunk_index)
        is_of_data = fault.kind in (FaultKind.FAILED_FOR_GOOD, FaultKind.PARTIAL_ANSWER)
        if is_of_data or (self._is_impatient and fault.method in ("post_credits", "withdraw_credits")):
            self._world.model.may_be_held.add(chunk)
        if fault.kind == FaultKind.FAILED_FOR_GOOD and fault.method == "fetch_records":
            self._world.model.may_fail.add(chunk)

    def _note_what_may_be_held(self) -> None:
        may_be_held = self._world.model.may_be_held
        if _has_few_probes(self._chance):
            may_be_held.update((self._prefix + batch, chunk_index) for batch, chunk_index in self._world.poisoned)
        for role, opening in self._openings.items():
            held = self._operators.chunks_that_an_abort_may_hold(role)
            may_be_held.update((opening.batch_id, chunk_index) for chunk_index in held)

    def _comes_late(self, order: Order) -> bool:
        """Return whether the Order Center gets the order's record only before the second batch."""
        may = order.kind != Kind.UNKNOWN and not order.is_credited_before
        return may and self._chance.happens(0.2, "late", order.order_id)

    def _repaired(self, orders: Sequence[Order]) -> list[OrderRecord]:
        """Return the records of the disputed orders, no longer disputed."""
        return [order.record._replace(status=OrderStatus.COMPLETED) for order in orders if order.kind == Kind.DISPUTED]

    def _is_announced_wrongly(self, order: Order) -> bool:
        return not order.is_credited_before and self._chance.happens(0.1, "announced wrongly", order.order_id)

    def _manual(self, role: str) -> BatchOpening:
        return BatchOpening(
            batch_id=self._prefix + role,
            source=BatchSource.MANUAL,
            business_date=CUTOFF_AT.date(),
            cutoff_at=CUTOFF_AT,
            **self._sizes(role),
        )

    def _rerun_of(self, role: str, rerun_role: str) -> BatchOpening:
        return rerun_opening_of(self._prefix + rerun_role, self._prefix + role, **self._sizes(rerun_role))

    def _sizes(self, role: str) -> dict[str, Any]:
        return {
            "chunk_size": self._chance.between(2, 5, role, "chunk size"),
            "window": self._chance.between(1, 4, role, "window"),
        }

    async def _start(self, opening: BatchOpening) -> None:
        self._openings[opening.batch_id.removeprefix(self._prefix)] = opening
        await start_batch_workflow(self._client, self._settings.task_queue, opening)

    async def _intake(self) -> None:
        """Fill a batch as intake does, from the start after each fault. Some orders are announced twice or wrongly."""
        opening = kafka_opening_of(self._prefix + "kafka", **self._sizes("kafka"))
        store = self._world.faulty.store
        announced = [
            order.announced(3 if self._is_announced_wrongly(order) else 0)
            for order in self._orders
            if order.kind == Kind.UNKNOWN or self._chance.happens(0.4, "announced", order.order_id)
        ]

        async def fill() -> None:
            await store.filling.open_batch(opening)
            half = len(announced) // 2
            for poll in (announced[: half + 1], announced[half:]):
                await store.filling.append_orders(opening.batch_id, poll)
            await store.filling.freeze_batch(opening.batch_id, CALENDAR)

        await self._until_done(Place("intake", "kafka"), fill)
        if self._chance.happens(0.5, "intake starts its batch"):
            await self._start(opening)
        self._openings["kafka"] = opening

    async def _until_done(self, place: Place, body: Callable[[], Awaitable[None]]) -> None:
        for _ in range(INTAKE_ATTEMPTS_MAX):
            try:
                await self._layer.run(place, body)
            except BatchNotOpenError:
                return
            except Exception:  # noqa: BLE001, S112 (as intake does, whatever it is)
                continue
            else:
                return
        raise TimeoutError(f"{place} did not succeed within {INTAKE_ATTEMPTS_MAX} attempts.")

    async def _await_final(self) -> None:
        """Wait until every batch is final. The sweep restarts the batches whose workflow was ended."""
        store = self._world.systems.store
        begun_s = time.monotonic()
        while True:
            await sweep(self._client, self._settings, store)
            batches = await store.batches.fetch_batches(limits.BATCH_LIST_COUNT_MAX)
            final_ids = {batch.batch_id for batch in batches if batch.state in FINAL_STATES}
            if final_ids == {opening.batch_id for opening in self._openings.values()}:
                return
            for batch in batches:
                if batch.state == BatchState.PAUSED:
                    await self._decide_on(batch.batch_id.removeprefix(self._prefix))
            if time.monotonic() > max(begun_s, self._layer.latest_attempt_s) + STUCK_S:
                raise TimeoutError(f"Nothing was attempted for {STUCK_S} s.")
            await asyncio.sleep(SWEEP_INTERVAL_S)

    async def _decide_on(self, role: str) -> None:
        """Resume or abort a paused batch once it has been seen paused a few times."""
        self._pauses_seen[role] += 1
        seen_count = self._pauses_seen[role]
        if seen_count % _SEEN_COUNT == 0:
            is_given_up = not self._layer.is_calm and self._chance.happens(0.3, "given up", role, seen_count)
            await self._operators.ask(role, ControlAction.ABORT if is_given_up else ControlAction.RESUME)
