"""Processes of Settle as an operator runs them, for tests that stop and kill them; each has a name and a log."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Self

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

    def start_failing_intake(self, instance: str, point: str, count: int) -> None:
        """Start a member of the intake's group that kills itself the count-th time that it comes to a point."""
        self._start(instance, [sys.executable, "-m", "tests.kafka.failing_intake", point, str(count)])

    def start_slow_intake(self, instance: str) -> None:
        """Start a member that polls few records at a time, so that a kill finds it at work."""
        self._start(instance, [sys.executable, "-m", "tests.kafka.failing_intake"])

    def has_ended(self, name: str) -> bool:
        return self._processes[name].poll() is not None

    def exit_code(self, name: str) -> int:
        """Wait for its end."""
        return self._processes[name].wait(EXIT_TIMEOUT_S)

    async def stop(self, name: str) -> None:
        """End it in good order."""
        self.send(name, signal.SIGTERM)
        exit_code = await asyncio.to_thread(self.exit_code, name)
        assert exit_code == 0, self.log_of(name)

    def send(self, name: str, signal_number: signal.Signals) -> None:
        self._processes[name].send_signal(signal_number)

    def log_of(self, name: str) -> str:
        return (self._directory / f"{name}.log").read_text()

    def _start(self, name: str, command: Sequence[str]) -> None:
        with (self._directory / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                command, stdout=log, stderr=log, env=self._environment | {"SETTLE_INTAKE_INSTANCE_ID": name}
            )
