"""Fixtures that run `settle` as a process, like a user, on the run's stack and the test's own database."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest

from runtime.stack_state import StackState
from tests.e2e.forked_settle import run_settle
from tests.support.databases import lent_database

SETTLE = str(Path(sys.executable).with_name("settle"))
PATIENT_SETTLE = (sys.executable, str(Path(__file__).with_name("patient_settle.py")))
COMMAND_TIMEOUT_S = 180  # only to detect a hang

Finished = subprocess.CompletedProcess[str]


class Commands:
    """Runs `settle` in one environment. Waits for servers are long, unless a test is about how long `settle` waits."""

    def __init__(self, directory: Path, environment: dict[str, str]) -> None:
        self.is_patient = True
        self.directory = directory
        self.environment = environment
        self.database_url = environment["SETTLE_DATABASE_URL"]

    def run(self, *arguments: str, **environment: str) -> Finished:
        told = os.environ | self.environment | environment
        return run_settle(arguments, told, self.directory, COMMAND_TIMEOUT_S, is_patient=self.is_patient)

    def ok(self, *arguments: str) -> str:
        finished = self.run(*arguments)
        assert finished.returncode == 0, finished.stdout + finished.stderr
        return finished.stdout

    def worker(self) -> AbstractContextManager["subprocess.Popen[bytes]"]:
        return self.running("worker")

    def patient_worker(self) -> AbstractContextManager["subprocess.Popen[bytes]"]:
        """Run a worker that settles each chunk in one local activity, even on a busy machine."""
        bounds = [f"{name}=1200" for name in ("LOCAL_ACTIVITY_QUEUE_S", "LOCAL_ACTIVITY_TIMEOUT_S")]
        program = [sys.executable, "-m", "tests.e2e.slow_worker", "held by nothing", "WORKFLOW_TASK_TIMEOUT_S=120"]
        return self.running("worker", program=[*program, *bounds])

    @contextmanager
    def running(
        self, command: str, log_name: str = "", program: Sequence[str] = ()
    ) -> Iterator["subprocess.Popen[bytes]"]:
        """Run a process until the end of the block, then stop it and require exit code 0. Its log is in the folder."""
        log_file = self.directory / f"{log_name or command}.log"
        arguments = program or [*(PATIENT_SETTLE if self.is_patient else [SETTLE]), command]
        with log_file.open("ab") as log:
            process = subprocess.Popen(arguments, env=os.environ | self.environment, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.terminate()
            assert process.wait(COMMAND_TIMEOUT_S) == 0, log_file.read_text()


@pytest.fixture
def make_commands(
    stack: StackState, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[[], Commands]]:
    """Makes `Commands`, each with its own migrated database for all three systems. The test has its own task queue."""
    with ExitStack() as databases:

        def make() -> Commands:
            url = databases.enter_context(lent_database(stack.database_url, "template_all"))
            return Commands(
                tmp_path,
                {
                    "SETTLE_DATABASE_URL": url,
                    "TEMPORAL_ADDRESS": stack.temporal_address,
                    "SETTLE_TASK_QUEUE": request.node.name,
                },
            )

        yield make


@pytest.fixture
def commands(make_commands: Callable[[], Commands]) -> Commands:
    return make_commands()
