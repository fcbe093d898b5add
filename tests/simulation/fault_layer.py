"""The fault layer. In a simulation every call of a port passes it, and every attempt of an activity runs in it."""

import asyncio
import inspect
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from functools import partial
from typing import Any, NamedTuple, TypeVar

from temporalio import activity
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from domain.errors import InvariantViolationError, UnansweredError, UnavailableError
from schemas.orders import OverdueSlice
from tests.simulation.chance import Chance
from tests.simulation.faults import Fault, FaultKind, Place, Wake, plan_fault

Port = TypeVar("Port")
Call = Callable[..., Awaitable[Any]]
BeforeCall = Callable[["Attempt", str, tuple[Any, ...]], Awaitable[None]]

# The errors of a request without effect. A lost answer always raises UnansweredError.
_ERRORS_WITHOUT_EFFECT = (UnavailableError("A server was down."), UnansweredError("There was no answer in time."))
_CHUNK_CLOSING_STEPS = frozenset({"settle_chunk", "credit_chunk", "hold_chunk"})


class LostAttemptError(Exception):
    """Reported to Temporal for an attempt that it must presume dead, because its worker was killed or is silent."""


class Moment(NamedTuple):
    """An event in an attempt: it is about to call a method, or, without a method, it has finished its step.

    `keys` are the idempotency keys of the credits that it requested.
    """

    place: Place
    method: str | None = None
    keys: frozenset[str] = frozenset()


class Attempt:
    """One attempt of a step, with its fault."""

    def __init__(self, place: Place, number: int, fault: Fault | None) -> None:
        self.place = place
        self.number = number
        self.keys: frozenset[str] = frozenset()
        self._fault = fault
        self._sleeps: Fault | None = None
        self.is_killed = False
        self.thought_dead = asyncio.Event()
        self.is_at_rest = asyncio.Event()  # asleep, or over
        self._woken = asyncio.Event()
        self._stopped = asyncio.Event()

    def take_fault(self, method: str) -> Fault | None:
        """Return this call's fault, if it has one, and remove it."""
        if self._fault is None or self._fault.method != method:
            return None
        fault, self._fault = self._fault, None
        return fault

    async def sleep(self, fault: Fault) -> None:
        """Be presumed dead until `wake`. An attempt that was killed during its call never continues."""
        if self.is_killed:
            await _never()
        self._sleeps = fault
        self.thought_dead.set()
        self.is_at_rest.set()
        await self._woken.wait()
        self.is_at_rest.clear()
        self._sleeps = None

    @property
    def is_asleep(self) -> bool:
        """Whether it is presumed dead and continues later."""
        return self._sleeps is not None

    async def wake(self) -> None:
        """Let it continue, and wait for its end."""
        self._woken.set()
        await self._stopped.wait()

    def kill(self) -> None:
        """Make it dead. Calls under way may still take effect, but it makes no others."""
        self.is_killed = True
        self.thought_dead.set()
        self.is_at_rest.set()

    def stop(self) -> None:
        """Mark it as ended."""
        self._stopped.set()
        self.is_at_rest.set()

    def wakes_at(self, moment: Moment) -> bool:
        """Return whether it is asleep until this moment."""
        if self._sleeps is None:
            return False
        place, method, keys = moment
        same_range = place.is_over_range_of(self.place)
        match self._sleeps.wake:
            case Wake.NEXT_CALL:
                return same_range and method == self._sleeps.method
            case Wake.STEP_DONE:
                return method is None and place == self.place
            case Wake.CHUNK_CLOSED:
                return method is None and same_range and place.step in _CHUNK_CLOSING_STEPS
            case Wake.BATCH_FINAL:
                return method is None and place.batch == self.place.batch and place.step == "close_batch"
            case Wake.LATER_CREDIT:
                return method is None and place.batch != self.place.batch and bool(keys & self.keys)
        return False


_current: ContextVar[Attempt | None] = ContextVar("attempt", default=None)


def current_attempt() -> Attempt | None:
    """Return the attempt that this task runs in, or None if the simulation itself makes the call."""
    return _current.get()


class FaultLayer:
    """Injects a seed's faults. The calls that pass reach the ports in the order in which they are recorded."""

    def __init__(self, chance: Chance) -> None:
        self.is_calm = False
        self.latest_attempt_s = time.monotonic()
        self.dealt: Counter[FaultKind] = Counter()
        self._chance = chance
        self._before_call: list[BeforeCall] = []
        self._when_dealt: list[Callable[[Place, Fault], None]] = []
        self._attempts: list[Attempt] = []
        self._bodies: set[asyncio.Task[Any]] = set()
        self._numbers: Counter[Place] = Counter()

    def before_calls(self, act: BeforeCall) -> None:
        """Add a callback before each call of an attempt that is not presumed dead: (attempt, method, arguments)."""
        self._before_call.append(act)

    def when_dealt(self, tell: Callable[[Place, Fault], None]) -> None:
        """Add a callback for each injected fault."""
        self._when_dealt.append(tell)

    def watch(self, port: Port) -> Port:
        """Return the port behind this layer."""
        return _WatchedPort(port, self._pass)  # type: ignore[return-value]

    async def run(self, place: Place, body: Callable[[], Awaitable[Any]]) -> Any:
        """Run one attempt of a step. It may be presumed dead before it has ended.

        Raises:
            LostAttemptError: the attempt was killed or is presumed dead.
        """
        self.latest_attempt_s = time.monotonic()
        self._numbers[place] += 1
        number = self._numbers[place]
        attempt = Attempt(place, number, None if self.is_calm else plan_fault(self._chance, place, number))
        self._attempts.append(attempt)
        running = asyncio.create_task(self._run_to_end(attempt, body))
        running.add_done_callback(_retrieve)
        self._bodies.add(running)
        running.add_done_callback(self._bodies.discard)
        silent = asyncio.create_task(attempt.thought_dead.wait())
        await asyncio.wait({running, silent}, return_when=asyncio.FIRST_COMPLETED)
        silent.cancel()
        if attempt.thought_dead.is_set():
            raise LostAttemptError(f"Attempt {number} to {place} fell silent.")
        answer = await running
        await self.tell(Moment(place, keys=attempt.keys))
        return answer

    async def _run_to_end(self, attempt: Attempt, body: Callable[[], Awaitable[Any]]) -> Any:
        _current.set(attempt)
        try:
            return await body()
        finally:
            self._attempts.remove(attempt)
            attempt.stop()

    async def tell(self, moment: Moment) -> None:
        """Wake the attempts that wait for this moment, one after another, each to its end."""
        for attempt in [attempt for attempt in self._attempts if attempt.wakes_at(moment)]:
            await attempt.wake()

    def under_way(self) -> str:
        """Return the attempts that have not ended, as text."""
        alive = [attempt for attempt in self._attempts if not attempt.is_killed]
        return ", ".join(f"{each.place}{' (asleep)' if each.is_asleep else ''}" for each in alive)

    async def wake_all(self) -> None:
        """Wake every attempt that is presumed dead and wait for its end."""
        for attempt in [attempt for attempt in self._attempts if attempt.is_asleep]:
            await attempt.wake()

    async def finish(self) -> None:
        """Wait until all attempts are at rest. The workflow of some may have ended before them."""
        for attempt in list(self._attempts):
            await attempt.is_at_rest.wait()

    async def end(self) -> None:
        """Cancel all remaining attempts."""
        bodies = list(self._bodies)
        for body in bodies:
            body.cancel()
        await asyncio.gather(*bodies, return_exceptions=True)

    async def _pass(self, method: str, arguments: tuple[Any, ...], call: Call) -> Any:
        attempt = _current.get()
        if attempt is None:
            return await call(*arguments)
        if method == "post_credits":
            attempt.keys = frozenset(request.idempotency_key for request in arguments[1])
        if not attempt.thought_dead.is_set():
            await self.tell(Moment(attempt.place, method))
            for act in self._before_call:
                await act(attempt, method, arguments)
        if attempt.is_killed:
            await _never()
        fault = attempt.take_fault(method)
        if fault is None:
            return await call(*arguments)
        self.dealt[fault.kind] += 1
        for tell in self._when_dealt:
            tell(attempt.place, fault)
        return await self._deal(attempt, fault, call, arguments)

    async def _deal(self, attempt: Attempt, fault: Fault, call: Call, arguments: tuple[Any, ...]) -> Any:
        names = (*attempt.place, attempt.number)
        match fault.kind:
            case FaultKind.FAILED_FOR_GOOD:
                raise InvariantViolationError("Something is wrong that no retry repairs.")
            case FaultKind.REQUEST_DROPPED:
                raise self._chance.pick(_ERRORS_WITHOUT_EFFECT, "error", *names)
            case FaultKind.LATE_REQUEST:
                await attempt.sleep(fault)
        call_count = 2 if fault.kind == FaultKind.DUPLICATED else 1
        answer, *_ = await asyncio.gather(*(call(*arguments) for _ in range(call_count)))
        match fault.kind:
            case FaultKind.RESPONSE_DROPPED:
                raise UnansweredError("The answer was lost.")
            case FaultKind.LATE_RESPONSE:
                await attempt.sleep(fault)
            case FaultKind.PARTIAL_ANSWER:
                return await _fetch_part(answer, call, arguments)
            case FaultKind.WORKER_KILLED:
                self._kill_worker()
                await _never()
        return answer

    def _kill_worker(self) -> None:
        """Kill all running attempts, except those presumed dead, which belong to another worker."""
        for attempt in self._attempts:
            if not attempt.thought_dead.is_set():
                attempt.kill()


class _WatchedPort:
    """A port, or a part of one. Its calls pass the fault layer."""

    def __init__(self, port: object, passage: Callable[[str, tuple[Any, ...], Call], Awaitable[Any]]) -> None:
        self._port = port
        self._pass = passage

    def __getattr__(self, method: str) -> Any:
        function = getattr(self._port, method)
        if not inspect.iscoroutinefunction(function):
            return _WatchedPort(function, self._pass)

        async def call(*arguments: Any, **options: Any) -> Any:
            return await self._pass(method, arguments, partial(function, **options))

        return call


async def _never() -> None:
    """Wait until cancelled at the end of the simulation."""
    await asyncio.Event().wait()


async def _fetch_part(answer: Any, call: Call, arguments: tuple[Any, ...]) -> Any:
    """Return the first half of an answer, rounded up. A slice of overdue orders is read again with that limit."""
    if isinstance(answer, OverdueSlice):
        return await call(*arguments[:-1], (len(answer.orders) + 1) // 2)
    count = (len(answer) + 1) // 2
    return dict(list(answer.items())[:count]) if isinstance(answer, Mapping) else answer[:count]


def _retrieve(task: asyncio.Task[Any]) -> None:
    """Retrieve a task's error, so that asyncio does not report it as never retrieved."""
    if not task.cancelled():
        task.exception()


class FaultyAttempts(Interceptor):
    """Runs the activities of a Temporal worker in the fault layer."""

    def __init__(self, layer: FaultLayer, name_of_batch: Callable[[str], str]) -> None:
        self._layer = layer
        self._name_of_batch = name_of_batch

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        return _FaultyAttempt(next, self)

    def place_of(self, step: str, argument: Any) -> Place:
        """Return an activity's step and range."""
        batch_id = argument if isinstance(argument, str) else argument.batch_id
        items = getattr(argument, "items", None)
        name = self._name_of_batch(batch_id)
        return Place(step, name, getattr(argument, "chunk_index", None), tuple(items) if items else None)

    async def run(self, place: Place, body: Callable[[], Awaitable[Any]]) -> Any:
        return await self._layer.run(place, body)


class _FaultyAttempt(ActivityInboundInterceptor):
    def __init__(self, inbound: ActivityInboundInterceptor, attempts: FaultyAttempts) -> None:
        super().__init__(inbound)
        self._attempts = attempts

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 (the SDK's name)
        place = self._attempts.place_of(activity.info().activity_type, input.args[0])
        return await self._attempts.run(place, lambda: self.next.execute_activity(input))
