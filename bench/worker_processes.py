"""Worker processes as an operator runs them: `settle worker`, each with a log file of its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

SETTLE = Path(sys.executable).with_name("settle")
_STOP_TIMEOUT_S = 20


class WorkerProcesses:
    """Starts, kills and stops workers; a context manager that leaves none behind."""

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        self._directory = directory
        self._environment = {**os.environ, **environment}
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._started_count = 0

    def __enter__(self) -> "WorkerProcesses":
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
        """The workers that run."""
        return list(self._processes)

    def start(self) -> int:
        """Start one more worker; its pid."""
        self._started_count += 1
        self._directory.mkdir(parents=True, exist_ok=True)
        with (self._directory / f"worker-{self._started_count}.log").open("wb") as log:
            process = subprocess.Popen([SETTLE, "worker"], stdout=log, stderr=log, env=self._environment)
        self._processes[process.pid] = process
        return process.pid

    def signal(self, pid: int, signal_number: signal.Signals) -> None:
        """Send a worker a signal."""
        self._processes[pid].send_signal(signal_number)

    def kill(self, pid: int) -> None:
        """End a worker by SIGKILL, as a crash would."""
        process = self._processes.pop(pid)
        process.kill()
        process.wait()
