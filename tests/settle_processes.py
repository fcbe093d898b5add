"""Processes of Settle as an operator runs them, for tests that stop and kill them; each has a name and a log."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import psutil

from tests.settlements import eventually

SETTLE = str(Path(sys.executable).with_name("settle"))
EXIT_TIMEOUT_S = 60


class SettleProcesses:
    """One process by name at a time; a context manager that leaves none behind."""

    def __init__(self, directory: Path, environment: dict[str, str]) -> None:
        self._directory = directory
        self._environment = {**os.environ, **environment}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait()

    def start(self, name: str, command: str) -> None:
        """Start `settle COMMAND`."""
        self._start(name, [SETTLE, command])

    def start_failing_worker(self, name: str, method: str, moment: str) -> None:
        """Start a worker that kills itself before or after its first call of a method of the settlement store."""
        self._start(name, [sys.executable, "-m", "tests.failing_worker", method, moment])

    def start_failing_intake(self, instance: str, point: str, count: int, end: signal.Signals = signal.SIGKILL) -> None:
        """Start a member of the intake's group that kills (or stops) itself the count-th time that it is at a point."""
        self._start(instance, [sys.executable, "-m", "tests.kafka.failing_intake", point, str(count), end.name])

    def start_slow_intake(self, name: str, instance: str | None = None) -> None:
        """Start a member that polls few records at a time, so that a kill finds it at work."""
        self._start(name, [sys.executable, "-m", "tests.kafka.failing_intake"], instance)

    def has_ended(self, name: str) -> bool:
        return self._processes[name].poll() is not None

    def exit_code(self, name: str) -> int:
        """Wait for its end."""
        return self._processes[name].wait(EXIT_TIMEOUT_S)

    async def until_stopped(self, name: str) -> None:
        """Wait until it has stopped itself (SIGSTOP)."""

        async def probe() -> bool:
            return psutil.Process(self._processes[name].pid).status() == psutil.STATUS_STOPPED

        await eventually(probe)

    def cpu_s(self, name: str) -> float:
        """The processor time that it used."""
        times = psutil.Process(self._processes[name].pid).cpu_times()
        return times.user + times.system

    def memory_bytes_max(self, name: str) -> int:
        """The most memory that it held so far, while it runs."""
        status = Path(f"/proc/{self._processes[name].pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024

    async def stop(self, name: str) -> None:
        """End it in good order."""
        self.send(name, signal.SIGTERM)
        exit_code = await asyncio.to_thread(self.exit_code, name)
        assert exit_code == 0, self.log_of(name)

    def send(self, name: str, signal_number: signal.Signals) -> None:
        self._processes[name].send_signal(signal_number)

    def log_of(self, name: str) -> str:
        return (self._directory / f"{name}.log").read_text()

    def _start(self, name: str, command: Sequence[str], instance: str | None = None) -> None:
        with (self._directory / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                command, stdout=log, stderr=log, env=self._environment | {"SETTLE_INTAKE_INSTANCE_ID": instance or name}
            )
