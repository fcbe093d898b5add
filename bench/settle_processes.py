"""Child processes with log files: those that an operator runs, such as `settle worker`, and a measurement's own."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

SETTLE = Path(sys.executable).with_name("settle")
_STOP_TIMEOUT_S = 20
_POLL_INTERVAL_S = 0.02


class SettleProcesses:
    """Starts, kills and stops processes. As a context manager it ends all of them on exit."""

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        self._directory = directory
        self._environment = {**os.environ, **environment}
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._started_count = 0

    def __enter__(self) -> "SettleProcesses":
        return self

    def __exit__(self, *_exception: object) -> None:
        for process in self._processes.values():
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()

    @property
    def pids(self) -> list[int]:
        """The pids of the running processes."""
        return list(self._processes)

    def start(self, command: str) -> int:
        """Start another process of a `settle` command, such as `worker`, and return its pid."""
        return self._start(command, [SETTLE, command])

    def start_module(self, module: str, *arguments: str) -> int:
        """Start a Python module and return its pid. The last part of the module's name names the log."""
        return self._start(module.rpartition(".")[2], [sys.executable, "-m", module, *arguments])

    def read_logs(self, name: str) -> list[str]:
        """Return the log of each process of a command or module so far."""
        return [log.read_text(errors="replace") for log in sorted(self._directory.glob(f"{name}-*.log"))]

    async def wait_until_workers_serve(self, timeout_s: float) -> None:
        """Wait until every worker has logged that it serves its task queue.

        Raises:
            TimeoutError: a worker has not. The message has the logs of all.
        """
        await self.wait_until_said("worker", "serves the task queue", timeout_s)

    async def wait_until_said(self, name: str, words: str, timeout_s: float) -> None:
        """Wait until the logs of all processes of a command or module contain some words.

        Raises:
            TimeoutError: one log does not. The message has the logs of all.
        """
        deadline = time.monotonic() + timeout_s
        while not all(words in log for log in self.read_logs(name)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"A {name} has not logged {words!r} within {timeout_s} s: {self.read_logs(name)}")
            await asyncio.sleep(_POLL_INTERVAL_S)

    def signal(self, pid: int, signal_number: signal.Signals) -> None:
        """Send a signal to a process."""
        self._processes[pid].send_signal(signal_number)

    def kill(self, pid: int) -> None:
        """End a process with SIGKILL, as in a crash."""
        process = self._processes.pop(pid)
        process.kill()
        process.wait()

    def _start(self, name: str, command: Sequence[str | Path]) -> int:
        self._started_count += 1
        self._directory.mkdir(parents=True, exist_ok=True)
        with (self._directory / f"{name}-{self._started_count}.log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, env=self._environment)
        self._processes[process.pid] = process
        return process.pid
