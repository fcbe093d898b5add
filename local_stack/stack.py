"""The embedded stack as a whole: one directory, three servers.

stack.json      the addresses, while the stack is up (see `runtime.stack_state`)
ports.json      the ports, kept for the next start
lock            held while a command changes the stack
run/            pid files
logs/           the servers' logs
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
    """The state of one part of the stack."""

    name: str
    running: bool
    """Its process is alive and it answers."""
    address: str
    """The address for clients; empty before the first start."""
    log_file: Path


class LocalStack:
    """Temporal, PostgreSQL and a Kafka-protocol broker, run from packages as background processes.

    The servers outlive the Python process that started them. Temporal and PostgreSQL keep their state across restarts
    and power cuts; the Kafka-protocol broker keeps nothing. Methods block for seconds. Several processes may call them
    concurrently: `up` and `down` wait for each other.
    """

    def __init__(self, directory: Path, *, temporal_arguments: Sequence[str] = ()) -> None:
        """Describe the stack in a directory; nothing is started.

        Args:
            directory: Where its state, logs and addresses are kept; created by `up`.
            temporal_arguments: Appended to `temporal server start-dev`. A running server keeps the arguments of its
                start.

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
        """Start the parts that are not running, and wait until every part is ready.

        Running parts are kept. The state file exists only once all parts have been ready. If a part fails, the parts
        that this call has started are stopped again.

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
        """Stop every part and remove the state file. Does nothing if no part is running.

        Raises:
            StackError: A part could not be stopped.
        """
        if not self._directory.exists():
            for part in self._parts:  # the directory may have been deleted while the stack ran
                part.process.end_strays()
            return
        with self._changing("stop"):
            self._state_file.unlink(missing_ok=True)
            _stop(self._parts)
            self._postgresql.remove_socket_directory()

    def status(self) -> list[PartStatus]:
        """Return the state of every part. Changes nothing and does not wait for other commands."""
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
        """Hold the stack's lock, and turn an OSError into a StackError with a sentence."""
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            with (self._directory / "stack.lock").open("w") as lock:
                self._await_lock(lock.fileno())
                yield
        except OSError as error:
            raise StackError(
                f"Tried to {verb} the embedded stack in {self._directory}, but failed: {error}. Check that this user "
                "may write there and that the disk has room, or name another directory with `--dir`."
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
                        f"{_LOCK_TIMEOUT_S:.0f} s. End that command, then try again."
                    ) from None
                time.sleep(_POLL_INTERVAL_S)
            else:
                return

    def _await_ready(self, part: Part) -> None:
        deadline = time.monotonic() + part.start_timeout_s
        starts = 1
        while time.monotonic() < deadline:
            # In this order: if the part died because its port was taken, another program answers at that port.
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
        f"{part.process.log_file}. Correct the cause that it shows, then start the stack again."
    )
