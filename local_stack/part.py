"""What the stack asks of each of its parts."""

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
        """What a person calls it."""

    @property
    def address(self) -> str:
        """Where clients reach it; empty before its first start."""

    @property
    def process(self) -> ServerProcess:
        """Its process."""

    @property
    def stop_signal(self) -> signal.Signals:
        """The signal that ends it cleanly."""

    @property
    def start_timeout_s(self) -> float:
        """How long it may take from its start until it is ready."""

    def start(self) -> None:
        """Start the process; does not wait until it is ready.

        Raises:
            StackError: It could not be started.
            OSError: A file or the program could not be used.
        """

    def is_ready(self) -> bool:
        """Tell whether it answers; takes a few seconds at most."""

    def has_lost_its_port(self) -> bool:
        """Tell, after its process has died, whether another process took its port since it was seen free."""


def describe_process(stack_directory: Path, name: str, program_name: str) -> ServerProcess:
    """Lay out a part's files in the stack's directory: `NAME/`, `run/NAME.json` and `logs/NAME.log`."""
    return ServerProcess(
        program_name,
        working_directory=stack_directory / name,
        pid_file=stack_directory / _PID_DIRECTORY / f"{name}.json",
        log_file=stack_directory / LOG_DIRECTORY / f"{name}.log",
    )


def make_directories(stack_directory: Path, name: str) -> None:
    """Make the directories of a part's files."""
    for directory in (LOG_DIRECTORY, _PID_DIRECTORY):
        (stack_directory / directory).mkdir(parents=True, exist_ok=True)
    (stack_directory / name).mkdir(mode=0o700, exist_ok=True)
