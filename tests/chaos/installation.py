"""A round's own installation: the servers, Settle's processes, and links between them that can be cut."""

import asyncio
import os
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

from local_stack.ports import LOOPBACK, PortBook
from local_stack.postgresql import PostgresqlServer
from local_stack.temporal import TemporalServer
from runtime.settings import Settings
from tests.apache_kafka.broker import ApacheKafka
from tests.chaos.links import Link
from tests.chaos.schedule import PROCESSES, Role
from tests.chaos.targets import Server, SettleProcess, Target, TargetError, server_of
from tests.support.settle_processes import SETTLE, SettleProcesses
from tests.support.settlements import PROMPT_LIST, eventually

SOCKET_NAME = ".s.PGSQL.5432"
# With small sizes a round has many chunks and batches.
SIZES = {"SETTLE_CHUNK_SIZE": "100", "SETTLE_INTAKE_BATCH_SIZE": "1500", "SETTLE_BATCH_WAIT_S_MAX": "3"}


class Installation(NamedTuple):
    """The parts of a running installation."""

    settings: Settings
    """The settings of this process, which connects to PostgreSQL and Temporal without the links."""
    temporal_address: str
    processes: dict[str, SettleProcess]
    targets: dict[str, Target]
    links: dict[str, Link]
    environment: dict[str, str]
    """The environment variables that make a command of Settle use this installation."""

    async def run(self, *arguments: str) -> tuple[int, str]:
        """Run a command and return its exit code and its output."""
        ran = await asyncio.to_thread(
            subprocess.run,
            [SETTLE, *arguments],
            env={**os.environ, **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if "--json" not in arguments else None,
            text=True,
            check=False,
        )
        return ran.returncode, ran.stdout


@asynccontextmanager
async def running_installation(directory: Path) -> AsyncIterator[Installation]:
    """Start an empty, migrated installation in an empty folder, without Settle's processes.

    At the end everything is stopped. The logs and data stay.
    """
    stack_directory, logs = directory / "stack", directory / "logs"
    for each in (stack_directory, logs, directory / "apache-kafka"):
        each.mkdir()
    temporal = TemporalServer(stack_directory, PortBook(stack_directory / "ports.json"), PROMPT_LIST)
    postgresql = PostgresqlServer(stack_directory)
    links: dict[str, Link] = {
        Role.TEMPORAL: Link(lambda: asyncio.open_connection(LOOPBACK, _port_of(temporal.address))),
        Role.POSTGRESQL: Link(
            lambda: asyncio.open_unix_connection(_socket_directory(postgresql.address) / SOCKET_NAME)
        ),
        Role.BROKER: Link(lambda: asyncio.open_connection(LOOPBACK, _port_of(kafka.bootstrap_servers))),
    }
    kafka_port = await links[Role.BROKER].listen_on_port()
    kafka = ApacheKafka(directory / "apache-kafka", kafka_port)
    servers: dict[str, Server] = {
        Role.TEMPORAL: server_of(temporal, stack_directory),
        Role.POSTGRESQL: server_of(postgresql, stack_directory),
        Role.BROKER: Server(directory / "apache-kafka" / "pid.json", kafka.start),
    }
    # A short path, because the path of a socket has a length limit.
    with tempfile.TemporaryDirectory(prefix="settle-chaos-") as sockets:
        try:
            await asyncio.gather(*(asyncio.to_thread(server.start) for server in servers.values()))
            await links[Role.POSTGRESQL].listen_on_socket(Path(sockets) / SOCKET_NAME)
            environment = {
                "SETTLE_STACK_DIR": "none",
                "SETTLE_DATABASE_URL": f"postgresql://postgres@/postgres?host={sockets}&port=5432",
                "TEMPORAL_ADDRESS": f"{LOOPBACK}:{await links[Role.TEMPORAL].listen_on_port()}",
                "KAFKA_BOOTSTRAP_SERVERS": f"{LOOPBACK}:{kafka_port}",
                **SIZES,
            }
            with SettleProcesses(logs, environment) as running:
                processes = {name: SettleProcess(running, name) for role in PROCESSES for name in PROCESSES[role]}
                url = postgresql.address
                installation = Installation(
                    Settings(
                        database_url=url,
                        order_center_url=url,
                        fund_platform_url=url,
                        kafka_bootstrap_servers=f"{LOOPBACK}:{kafka_port}",
                        stack_dir=Path("none"),
                    ),
                    temporal.address,
                    processes,
                    {**processes, **servers},
                    links,
                    environment,
                )
                exit_code, said = await installation.run("migrate")
                if exit_code:
                    raise TargetError(f"`settle migrate` ended with exit code {exit_code}: {said}")
                yield installation
        finally:
            for link in links.values():
                link.close()
            for server in servers.values():
                await asyncio.to_thread(server.end)
            postgresql.remove_socket_directory()


async def start_all(installation: Installation) -> None:
    """Start all of Settle's processes and wait until each is ready."""
    for process in installation.processes.values():
        process.start()

    async def are_ready() -> bool:
        return all(process.is_ready() for process in installation.processes.values())

    await eventually(are_ready)


def _port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


def _socket_directory(database_url: str) -> Path:
    return Path(parse_qs(urlsplit(database_url).query)["host"][0])
