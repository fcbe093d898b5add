"""What can be hit: Settle's processes and the servers, each ended, paused and started in the same way."""

import json
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import psutil

from local_stack.part import Part
from tests.support.settle_processes import EXIT_TIMEOUT_S, SettleProcesses

READY_POLL_S = 0.05
END_TIMEOUT_S = 20.0
START_TIME_TOLERANCE_S = 1.5
# What a process says once it works; ended by itself before that, it only found a server away.
READY_WORDS = {
    "worker": "worker serves the task queue",
    "intake": "intake takes orders in",
    "relay": "relay delivers results",
}


class TargetError(Exception):
    """A target did not end in good order, or did not come up: the round goes on, and is off."""


class Target(Protocol):
    """What can be hit. Methods block."""

    def is_ready(self) -> bool:
        """Whether it works, or did when it was started last."""

    def freeze(self) -> None:
        """Make it do nothing, its connections open (SIGSTOP)."""

    def thaw(self) -> None:
        """Let it go on after `freeze`."""

    def kill(self) -> None:
        """End it at once (SIGKILL), frozen or not."""

    def stop(self) -> None:
        """End it in good order.

        Raises:
            TargetError: It has ended, but not so.
        """

    def start(self) -> None:
        """Start it after it was ended; a server is ready on return.

        Raises:
            TargetError: It did not come up.
        """


class SettleProcess:
    """One process of Settle by name."""

    def __init__(self, processes: SettleProcesses, name: str) -> None:
        self.name = name
        self.command = name.partition("-")[0]
        self._processes = processes
        self.is_wanted = False
        """Whether it should run just now: nobody is about to end it or has ended it."""

    @property
    def pid(self) -> int:
        """The process that runs, or ran last."""
        return self._processes.pid(self.name)

    def freeze(self) -> None:
        """See `Target`."""
        self._processes.send(self.name, signal.SIGSTOP)

    def thaw(self) -> None:
        """See `Target`."""
        self._processes.send(self.name, signal.SIGCONT)

    def kill(self) -> None:
        """See `Target`."""
        self.is_wanted = False
        self._processes.send(self.name, signal.SIGKILL)
        self._processes.exit_code(self.name)

    def stop(self) -> None:
        """See `Target`. One that has not begun to work yet may end in any way."""
        self.is_wanted = False
        self._processes.send(self.name, signal.SIGTERM)
        try:
            exit_code = self.exit_code()
        except subprocess.TimeoutExpired:
            self.kill()
            raise TargetError(f"{self.name} was asked to stop, and did not end within {EXIT_TIMEOUT_S} s") from None
        if exit_code and self.is_ready():
            raise TargetError(f"{self.name} was asked to stop, and ended with exit code {exit_code}")

    def start(self) -> None:
        """See `Target`."""
        self._processes.start(self.name, self.command)
        self.is_wanted = True

    def has_ended_by_itself(self) -> bool:
        """Whether it should run and does not."""
        return self.is_wanted and self._processes.has_ended(self.name)

    def exit_code(self) -> int:
        """Wait for its end."""
        return self._processes.exit_code(self.name)

    def is_ready(self) -> bool:
        """See `Target`: it has said so."""
        return READY_WORDS[self.command] in self.log()

    def log(self) -> str:
        """What the process that was started last has said."""
        return self._processes.log_since_start(self.name)


class Server:
    """A server with all its processes, known by its pid file."""

    def __init__(self, pid_file: Path, start: Callable[[], None], stop_signal: signal.Signals = signal.SIGTERM) -> None:
        self._pid_file = pid_file
        self._start = start
        self._stop_signal = stop_signal

    def is_ready(self) -> bool:
        """See `Target`: `start` waits for it."""
        return True

    def freeze(self) -> None:
        """See `Target`. The parent first: a stopped one starts no children that would be missed."""
        self._find()[0].send_signal(signal.SIGSTOP)
        _send_all(self._find()[1:], signal.SIGSTOP)

    def thaw(self) -> None:
        """See `Target`."""
        _send_all(self._find(), signal.SIGCONT)

    def kill(self) -> None:
        """See `Target`."""
        self.freeze()
        processes = self._find()
        _send_all(processes, signal.SIGKILL)
        self._await_end(processes)

    def stop(self) -> None:
        """See `Target`."""
        processes = self._find()
        processes[0].send_signal(self._stop_signal)
        self._await_end(processes)

    def start(self) -> None:
        """See `Target`."""
        self._start()

    def end(self) -> None:
        """Leave nothing of it running, whatever state it is in."""
        with suppress(OSError, psutil.NoSuchProcess):
            self.kill()

    def _find(self) -> list[psutil.Process]:
        """All its processes, the parent first; an id that another process has by now is not its."""
        told = json.loads(self._pid_file.read_text())
        parent = psutil.Process(told["pid"])
        if abs(parent.create_time() - psutil.boot_time() - told["start_time_s"]) > START_TIME_TOLERANCE_S:
            raise psutil.NoSuchProcess(parent.pid)
        return [parent, *parent.children(recursive=True)]

    def _await_end(self, processes: list[psutil.Process]) -> None:
        _, alive = psutil.wait_procs(processes, timeout=END_TIMEOUT_S)
        if alive:
            raise TargetError(f"{self._pid_file.stem} did not end within {END_TIMEOUT_S:.0f} s")


def _send_all(processes: list[psutil.Process], signal_number: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal_number)


def server_of(part: Part, stack_directory: Path) -> Server:
    """A part of the embedded stack as a target."""

    def start() -> None:
        part.start()
        deadline_s = time.monotonic() + part.start_timeout_s
        while not part.is_ready():
            if time.monotonic() > deadline_s or not part.process.is_running():
                raise TargetError(f"{part.name} did not come up: {part.process.read_log_tail()}")
            time.sleep(READY_POLL_S)

    return Server(stack_directory / "run" / f"{part.name}.json", start, part.stop_signal)
