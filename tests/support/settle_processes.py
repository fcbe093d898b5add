"""Settle's processes as an operator runs them, for tests that stop and kill them. Each has a name and a log.

If a test fails, its error notes the ends of their logs.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import psutil

from tests.support.settlements import eventually

SETTLE = str(Path(sys.executable).with_name("settle"))
EXIT_TIMEOUT_S = 180  # only to detect a hang
# The part of each process's log that is noted when a test fails.
LOG_LINE_COUNT_MAX = 40
LOG_LINE_LENGTH_MAX = 400


class SettleProcesses:
    """At most one running process for each name. As a context manager it kills all of them on exit."""

    def __init__(self, directory: Path, environment: dict[str, str]) -> None:
        self._directory = directory
        self._environment = {**os.environ, **environment}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._log_starts: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait()
        if error:
            for name in self._processes:
                error.add_note(f"The end of the log of {name}:\n{self._log_end_of(name)}")

    def start(self, name: str, command: str) -> None:
        self._start(name, [SETTLE, command])

    def start_failing_worker(self, name: str, method: str, moment: str) -> None:
        """Start a worker that kills itself before or after its first call of a method of the settlement store."""
        self._start(name, [sys.executable, "-m", "tests.support.failing_worker", method, moment])

    def start_failing_intake(self, instance: str, point: str, count: int, end: signal.Signals = signal.SIGKILL) -> None:
        """Start an intake that kills or stops itself when it reaches a point for the count-th time."""
        self._start(instance, [sys.executable, "-m", "tests.kafka.failing_intake", point, str(count), end.name])

    def start_slow_intake(self, name: str, instance: str | None = None) -> None:
        """Start an intake that polls few records at a time. A kill then hits it at work."""
        self._start(name, [sys.executable, "-m", "tests.kafka.failing_intake"], instance)

    def pid(self, name: str) -> int:
        """Return the pid of the process that was last started under this name."""
        return self._processes[name].pid

    def has_ended(self, name: str) -> bool:
        return self._processes[name].poll() is not None

    def exit_code(self, name: str) -> int:
        """Wait until the process ends and return its exit code."""
        return self._processes[name].wait(EXIT_TIMEOUT_S)

    async def until_serving(self, name: str) -> None:
        """Wait until a worker serves its task queue. Fail if it ends first, as it does if a server is unreachable."""

        async def probe() -> bool:
            assert not self.has_ended(name), self.log_of(name)
            return "worker serves the task queue" in self.log_of(name)

        await eventually(probe)

    async def until_stopped(self, name: str) -> None:
        """Wait until the process has stopped itself (SIGSTOP)."""

        async def probe() -> bool:
            return psutil.Process(self._processes[name].pid).status() == psutil.STATUS_STOPPED

        await eventually(probe)

    def cpu_s(self, name: str) -> float:
        """Return the CPU time that the process used."""
        times = psutil.Process(self._processes[name].pid).cpu_times()
        return times.user + times.system

    def memory_bytes_max(self, name: str) -> int:
        """Return the peak memory of a running process."""
        status = Path(f"/proc/{self._processes[name].pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024

    async def stop(self, name: str) -> None:
        """Stop the process with SIGTERM and require exit code 0."""
        self.send(name, signal.SIGTERM)
        exit_code = await asyncio.to_thread(self.exit_code, name)
        assert exit_code == 0, self.log_of(name)

    def send(self, name: str, signal_number: signal.Signals) -> None:
        self._processes[name].send_signal(signal_number)

    def log_of(self, name: str) -> str:
        return (self._directory / f"{name}.log").read_text()

    def log_since_start(self, name: str) -> str:
        """Return the log of the process that was last started under this name."""
        return (self._directory / f"{name}.log").read_bytes()[self._log_starts[name] :].decode()

    def _log_end_of(self, name: str) -> str:
        return "\n".join(line[:LOG_LINE_LENGTH_MAX] for line in self.log_of(name).splitlines()[-LOG_LINE_COUNT_MAX:])

    def _start(self, name: str, command: Sequence[str], instance: str | None = None) -> None:
        with (self._directory / f"{name}.log").open("ab") as log:
            self._log_starts[name] = log.tell()
            self._processes[name] = subprocess.Popen(
                command, stdout=log, stderr=log, env=self._environment | {"SETTLE_INTAKE_INSTANCE_ID": instance or name}
            )
