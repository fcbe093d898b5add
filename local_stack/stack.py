"""The embedded stack as a whole: one directory, three servers.

stack.json      the addresses, while the stack is up (see `runtime.stack_state`)
ports.json      the ports, remembered
lock            held while a command changes the stack
run/            pid files
logs/           what the servers write
temporal/ postgresql/ kafka/    their state and working directories
"""

import fcntl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from local_stack.errors import StackError
from local_stack.files import write_atomically
from local_stack.kafka import KafkaBroker
from local_stack.part import Part
from local_stack.ports import PortBook
from local_stack.postgresql import PostgresqlServer
from local_stack.temporal import TemporalServer
from runtime.stack_state import STATE_FILE_NAME, StackState

_STOP_TIMEOUT_S = 60.0
_LOCK_TIMEOUT_S = 120.0
_POLL_INTERVAL_S = 0.05
_STARTS_MAX = 3


@dataclass(frozen=True)
class PartStatus:
    """What one part of the stack is doing."""

    name: str
    running: bool
    """Its process lives and it answers."""
    address: str
    """Where clients reach it; empty before its first start."""
    log_file: Path


class LocalStack:
    """Temporal, PostgreSQL and a Kafka-protocol broker, run from packages as background processes.

    The servers outlive the Python process that started them. Temporal and PostgreSQL keep their state across
    restarts and power cuts; the Kafka-protocol broker keeps nothing. Methods block, for seconds, and may be
    called by several processes at once: each waits for the other.
    """

    def __init__(self, directory: Path, *, temporal_arguments: Sequence[str] = ()) -> None:
        """Describe the stack in a directory; nothing is started.

        Args:
            directory: Where its state, logs and addresses are kept; made by `up`.
            temporal_arguments: Appended to `temporal server start-dev`. A server that already runs keeps the
                arguments that it was started with.

        Raises:
            StackError: The packages of the servers are not installed.
        """
        self._directory = directory.expanduser().resolve()
        self._ports = PortBook(self._directory / "ports.json")
        self._temporal = TemporalServer(self._directory, self._ports, temporal_arguments)
        self._kafka = KafkaBroker(self._directory, self._ports)
        self._postgresql = PostgresqlServer(self._directory)
        self._parts: tuple[Part, ...] = (self._temporal, self._kafka, self._postgresql)

    def up(self) -> StackState:
        """Start what is not running and wait until every part is ready.

        The state file is there only while all parts have been ready. Parts that run are kept. When a part
        fails, those that this call has started are stopped again.

        Returns:
            The addresses, as written to the state file.

        Raises:
            StackError: A part did not come up, or the directory cannot be used.
        """
        with self._changing("start"):
            missing = [part for part in self._parts if not part.process.is_running()]
            if missing:
                self._state_file.unlink(missing_ok=True)
            try:
                for part in missing:
                    part.start()
                for part in self._parts:
                    self._await_ready(part)
            except BaseException:
                _stop(missing)
                raise
            state = StackState(
                temporal_address=self._temporal.address,
                temporal_ui_url=self._temporal.ui_url,
                database_url=self._postgresql.address,
                kafka_bootstrap_servers=self._kafka.address,
            )
            write_atomically(self._state_file, state.model_dump_json(indent=2) + "\n")
            return state

    def down(self) -> None:
        """Stop every part and remove the state file; harmless when nothing runs.

        Raises:
            StackError: A part could not be stopped.
        """
        if not self._directory.exists():
            for part in self._parts:  # the directory may have been deleted under a running stack
                part.process.end_strays()
            return
        with self._changing("stop"):
            self._state_file.unlink(missing_ok=True)
            _stop(self._parts)
            self._postgresql.remove_socket_directory()

    def status(self) -> list[PartStatus]:
        """Look at every part; changes nothing and waits for no other command."""
        return [
            PartStatus(
                name=part.name,
                running=part.process.is_running() and part.is_ready(),
                address=part.address,
                log_file=part.process.log_file,
            )
            for part in self._parts
        ]

    @property
    def _state_file(self) -> Path:
        return self._directory / STATE_FILE_NAME

    @contextmanager
    def _changing(self, verb: str) -> Iterator[None]:
        """Hold the stack's lock; turns a failing file or program into a sentence."""
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            with (self._directory / "stack.lock").open("w") as lock:
                self._await_lock(lock.fileno())
                yield
        except OSError as error:
            raise StackError(
                f"Tried to {verb} the embedded stack in {self._directory}, but {error}: see that this user may "
                "write there and that the disk has room, or name another directory with `--dir`."
            ) from error

    def _await_lock(self, descriptor: int) -> None:
        deadline = time.monotonic() + _LOCK_TIMEOUT_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise StackError(
                        f"Another command has been changing the stack in {self._directory} for "
                        f"{_LOCK_TIMEOUT_S:.0f} s: end it, then try again."
                    ) from None
                time.sleep(_POLL_INTERVAL_S)
            else:
                return

    def _await_ready(self, part: Part) -> None:
        deadline = time.monotonic() + part.start_timeout_s
        starts = 1
        while time.monotonic() < deadline:
            # In this order: what answers at the part's port is the part only if it has not died of the port
            # being taken.
            if part.is_ready() and part.process.is_running():
                return
            if not part.process.is_running():
                if starts == _STARTS_MAX or not part.has_lost_its_port():
                    raise StackError(_describe_failure(part, part.process.describe_end()))
                part.start()
                starts += 1
            time.sleep(_POLL_INTERVAL_S)
        raise StackError(_describe_failure(part, f"it was not ready within {part.start_timeout_s:.0f} s"))


def _stop(parts: Sequence[Part]) -> None:
    for part in parts:
        part.process.send_signal(part.stop_signal)
    for part in parts:
        part.process.await_stop(timeout_s=_STOP_TIMEOUT_S)


def _describe_failure(part: Part, what: str) -> str:
    said = part.process.read_log_tail() or "nothing"
    return (
        f"{part.name} did not come up: {what}, and its log ends with: {said}. The log is "
        f"{part.process.log_file}; remove the reason that stands there, then start the stack again."
    )
