"""The interface of the stack's parts."""

import signal
from pathlib import Path
from typing import Protocol

from local_stack.processes import ServerProcess

LOG_DIRECTORY = "logs"
_PID_DIRECTORY = "run"


class Part(Protocol):
    """One server of the stack."""

    @property
    def name(self) -> str:
        """Its name for people."""

    @property
    def address(self) -> str:
        """The address for clients; empty before the first start."""

    @property
    def process(self) -> ServerProcess:
        """Its process."""

    @property
    def stop_signal(self) -> signal.Signals:
        """The signal that ends it cleanly."""

    @property
    def start_timeout_s(self) -> float:
        """How long it may take to become ready."""

    def start(self) -> None:
        """Start the process, without waiting until it is ready.

        Raises:
            StackError: It could not be started.
            OSError: A file or the program could not be used.
        """

    def is_ready(self) -> bool:
        """Return whether it answers, within a few seconds."""

    def has_lost_its_port(self) -> bool:
        """Return, after its process has died, whether another process took its port since the port was found free."""


def describe_process(stack_directory: Path, name: str, program_name: str) -> ServerProcess:
    """Describe a part's process, with its files in the stack's folder: `NAME/`, `run/NAME.json` and `logs/NAME.log`."""
    return ServerProcess(
        program_name,
        working_directory=stack_directory / name,
        pid_file=stack_directory / _PID_DIRECTORY / f"{name}.json",
        log_file=stack_directory / LOG_DIRECTORY / f"{name}.log",
    )


def make_directories(stack_directory: Path, name: str) -> None:
    """Create the directories of a part's files."""
    for directory in (LOG_DIRECTORY, _PID_DIRECTORY):
        (stack_directory / directory).mkdir(parents=True, exist_ok=True)
    (stack_directory / name).mkdir(mode=0o700, exist_ok=True)
