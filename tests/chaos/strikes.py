"""Faults at work: each waits until its target has work in flight, hits it, and lets it recover."""

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
# What a command answers when something that it needs could not be reached.
EXIT_UNREACHABLE = 3


class Strike(NamedTuple):
    """A fault as it happened; times are from the start of the round."""

    fault: Fault
    struck_s: float
    recovered_s: float
    in_flight: int


class Strikes:
    """Carries a round's faults out. Those of one target wait for each other, others may overlap."""

    def __init__(self, installation: Installation, in_flight: InFlight) -> None:
        self._installation = installation
        self._in_flight = in_flight
        self._locks = {name: asyncio.Lock() for name in installation.targets}
        self._started_s = time.monotonic()
        self.problems: list[str] = []

    def now_s(self) -> float:
        """The time since the start of the round."""
        return time.monotonic() - self._started_s

    async def carry_out(self, faults: list[Fault]) -> list[Strike]:
        """Carry all faults out at their times; what came of each, in the order in which they struck."""
        async with asyncio.TaskGroup() as tasks:
            striking = [tasks.create_task(self._strike(fault)) for fault in faults]
        return sorted((each.result() for each in striking), key=lambda strike: strike.struck_s)

    @asynccontextmanager
    async def supervising(self) -> AsyncIterator[None]:
        """Start again what ends by itself meanwhile, as whatever runs a service does.

        A process that has not begun to work may find a server away. After that it should never end by itself.
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
            self.problems.append(f"{process.name} ended by itself with exit code {exit_code}: {''.join(last)}")
        process.start()

    async def _strike(self, fault: Fault) -> Strike:
        await asyncio.sleep(fault.at_s - self.now_s())
        async with self._locks[fault.target]:
            in_flight = await self._freeze_at_work(fault)
            struck_s = self.now_s()
            await self._hit(fault)
            return Strike(fault, round(struck_s, 1), round(self.now_s(), 1), in_flight)

    async def _freeze_at_work(self, fault: Fault) -> int:
        """Freeze the target in a moment at which it has work in flight, or anyhow in the end; how much it has."""
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
                    await asyncio.to_thread(target.thaw)  # whoever ends the round asks it to close connections
                    raise
            if in_flight or is_last_try:
                return in_flight
            await asyncio.to_thread(target.thaw)
            await asyncio.sleep(FIND_WORK_PAUSE_S)

    async def _hit(self, fault: Fault) -> None:
        """Do to a frozen target what the fault says; on return it runs again."""
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
