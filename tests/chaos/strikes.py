"""Carry out faults: each waits until its target has work in flight, hits it, and lets it recover."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from tests.chaos.in_flight import InFlight
from tests.chaos.installation import Installation
from tests.chaos.schedule import Fault, Kind
from tests.chaos.targets import SettleProcess, TargetError

FIND_WORK_S = 12.0
FIND_WORK_PAUSE_S = 0.2
SUPERVISE_INTERVAL_S = 0.5
# The exit code of a command that could not reach a server.
EXIT_UNREACHABLE = 3


class Strike(NamedTuple):
    """A fault as it happened. Times count from the start of the round."""

    fault: Fault
    struck_s: float
    recovered_s: float
    in_flight: int


class Strikes:
    """Carries out a round's faults. Faults of one target wait for each other. Others may overlap."""

    def __init__(self, installation: Installation, in_flight: InFlight) -> None:
        self._installation = installation
        self._in_flight = in_flight
        self._locks = {name: asyncio.Lock() for name in installation.targets}
        self._started_s = time.monotonic()
        self.problems: list[str] = []

    def now_s(self) -> float:
        """Return the seconds since the start of the round."""
        return time.monotonic() - self._started_s

    async def carry_out(self, faults: list[Fault]) -> list[Strike]:
        """Carry out all faults at their times, and return the strikes ordered by time."""
        async with asyncio.TaskGroup() as tasks:
            striking = [tasks.create_task(self._strike(fault)) for fault in faults]
        return sorted((each.result() for each in striking), key=lambda strike: strike.struck_s)

    @asynccontextmanager
    async def supervising(self) -> AsyncIterator[None]:
        """Restart processes that end on their own, as a service manager does.

        A process may end before it is ready, because a server is unreachable. After that it must not end on its own.
        """
        supervising = asyncio.create_task(self._supervise())
        try:
            yield
        finally:
            supervising.cancel()

    async def _supervise(self) -> None:
        while True:
            await asyncio.sleep(SUPERVISE_INTERVAL_S)
            for process in self._installation.processes.values():
                if not self._locks[process.name].locked() and process.has_ended_by_itself():
                    self._start_again(process)

    def _start_again(self, process: SettleProcess) -> None:
        exit_code = process.exit_code()
        if exit_code != EXIT_UNREACHABLE or process.is_ready():
            last = process.log().strip().splitlines()[-1:]
            self.problems.append(f"{process.name} ended on its own with exit code {exit_code}: {''.join(last)}")
        process.start()

    async def _strike(self, fault: Fault) -> Strike:
        await asyncio.sleep(fault.at_s - self.now_s())
        async with self._locks[fault.target]:
            in_flight = await self._freeze_at_work(fault)
            struck_s = self.now_s()
            await self._hit(fault)
            return Strike(fault, round(struck_s, 1), round(self.now_s(), 1), in_flight)

    async def _freeze_at_work(self, fault: Fault) -> int:
        """Freeze the target when it has work in flight, and return how much.

        After `FIND_WORK_S` it is frozen even without work in flight.
        """
        target = self._installation.targets[fault.target]
        deadline_s = time.monotonic() + FIND_WORK_S
        while True:
            is_last_try = time.monotonic() > deadline_s
            in_flight = 0
            if target.is_ready() or is_last_try:
                await asyncio.to_thread(target.freeze)
                try:
                    in_flight = await self._in_flight.count(fault.role, fault.target)
                except BaseException:
                    await asyncio.to_thread(target.thaw)  # the end of the round closes connections to it
                    raise
            if in_flight or is_last_try:
                return in_flight
            await asyncio.to_thread(target.thaw)
            await asyncio.sleep(FIND_WORK_PAUSE_S)

    async def _hit(self, fault: Fault) -> None:
        """Apply the fault to a frozen target. On return the target runs again."""
        target = self._installation.targets[fault.target]
        match fault.kind:
            case Kind.KILL:
                await asyncio.to_thread(target.kill)
                await asyncio.sleep(fault.outage_s)
                await asyncio.to_thread(target.start)
            case Kind.PAUSE:
                await asyncio.sleep(fault.outage_s)
                await asyncio.to_thread(target.thaw)
            case Kind.RESTART:
                await asyncio.to_thread(target.thaw)
                try:
                    await asyncio.to_thread(target.stop)
                except TargetError as error:
                    self.problems.append(str(error))
                await asyncio.to_thread(target.start)
            case Kind.CUT:
                self._installation.links[fault.target].cut()
                await asyncio.to_thread(target.thaw)
