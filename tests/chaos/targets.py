"""The targets of faults: Settle's processes and the servers, with the same methods to end, pause and start them."""

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
# What a process logs once it is ready. If it ends before that, a server may only have been unreachable.
READY_WORDS = {
    "worker": "worker serves the task queue",
    "intake": "intake takes orders in",
    "relay": "relay delivers results",
}


class TargetError(Exception):
    """Raised when a target did not stop gracefully or did not start. The round continues, but has failed."""


class Target(Protocol):
    """A target of faults. Its methods block."""

    def is_ready(self) -> bool:
        """Return whether the target has been ready since its last start."""

    def freeze(self) -> None:
        """Pause the target with its connections open (SIGSTOP)."""

    def thaw(self) -> None:
        """Resume the target after `freeze`."""

    def kill(self) -> None:
        """Kill the target (SIGKILL), frozen or not."""

    def stop(self) -> None:
        """Stop the target gracefully.

        Raises:
            TargetError: it did not stop gracefully.
        """

    def start(self) -> None:
        """Start the target after it has ended. A server is ready on return.

        Raises:
            TargetError: it did not start.
        """


class SettleProcess:
    """A process of Settle with a name."""

    def __init__(self, processes: SettleProcesses, name: str) -> None:
        self.name = name
        self.command = name.partition("-")[0]
        self._processes = processes
        self.is_wanted = False
        """Whether it should be running. False after `kill` and `stop`."""

    @property
    def pid(self) -> int:
        """The pid of the process that was started last."""
        return self._processes.pid(self.name)

    def freeze(self) -> None:
        self._processes.send(self.name, signal.SIGSTOP)

    def thaw(self) -> None:
        self._processes.send(self.name, signal.SIGCONT)

    def kill(self) -> None:
        self.is_wanted = False
        self._processes.send(self.name, signal.SIGKILL)
        self._processes.exit_code(self.name)

    def stop(self) -> None:
        """Stop the process gracefully. A process that is not ready yet may end with any exit code."""
        self.is_wanted = False
        self._processes.send(self.name, signal.SIGTERM)
        try:
            exit_code = self.exit_code()
        except subprocess.TimeoutExpired:
            self.kill()
            raise TargetError(f"{self.name} was asked to stop, but did not end within {EXIT_TIMEOUT_S} s") from None
        if exit_code and self.is_ready():
            raise TargetError(f"{self.name} was asked to stop, but ended with exit code {exit_code}")

    def start(self) -> None:
        self._processes.start(self.name, self.command)
        self.is_wanted = True

    def has_ended_by_itself(self) -> bool:
        """Return whether the process should be running but is not."""
        return self.is_wanted and self._processes.has_ended(self.name)

    def exit_code(self) -> int:
        """Wait until the process ends and return its exit code."""
        return self._processes.exit_code(self.name)

    def is_ready(self) -> bool:
        """Return whether the process has logged that it is ready."""
        return READY_WORDS[self.command] in self.log()

    def log(self) -> str:
        """Return the log of the process that was started last."""
        return self._processes.log_since_start(self.name)


class Server:
    """A server with all its processes, known by its pid file."""

    def __init__(self, pid_file: Path, start: Callable[[], None], stop_signal: signal.Signals = signal.SIGTERM) -> None:
        self._pid_file = pid_file
        self._start = start
        self._stop_signal = stop_signal

    def is_ready(self) -> bool:
        """Return True, because `start` waits until the server is ready."""
        return True

    def freeze(self) -> None:
        """Pause the parent first, because a paused parent starts no more children."""
        self._find()[0].send_signal(signal.SIGSTOP)
        _send_all(self._find()[1:], signal.SIGSTOP)

    def thaw(self) -> None:
        _send_all(self._find(), signal.SIGCONT)

    def kill(self) -> None:
        self.freeze()
        processes = self._find()
        _send_all(processes, signal.SIGKILL)
        self._await_end(processes)

    def stop(self) -> None:
        processes = self._find()
        processes[0].send_signal(self._stop_signal)
        self._await_end(processes)

    def start(self) -> None:
        self._start()

    def end(self) -> None:
        """Kill all of the server's processes, whatever state they are in."""
        with suppress(OSError, psutil.NoSuchProcess):
            self.kill()

    def _find(self) -> list[psutil.Process]:
        """Return all processes of the server, the parent first. A reused pid is detected by its start time."""
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
    """Return a part of the embedded stack as a target."""

    def start() -> None:
        part.start()
        deadline_s = time.monotonic() + part.start_timeout_s
        while not part.is_ready():
            if time.monotonic() > deadline_s or not part.process.is_running():
                raise TargetError(f"{part.name} did not start: {part.process.read_log_tail()}")
            time.sleep(READY_POLL_S)

    return Server(stack_directory / "run" / f"{part.name}.json", start, part.stop_signal)
