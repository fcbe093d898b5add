"""A proxy for PostgreSQL that loses a request or its answer when a test asks for it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import Enum, auto
from urllib.parse import parse_qs, urlsplit

from local_stack.ports import LOOPBACK

READ_BYTES_MAX = 65_536
# The bytes with which the driver runs a prepared statement, and those with which it commits.
STATEMENT = b"B\0"
COMMIT = b"COMMIT;"


class Fate(Enum):
    """What happens to the next request that contains the armed bytes."""

    REQUEST_LOST = auto()
    """The connection is cut before the request reaches the server."""
    ANSWER_LOST = auto()
    """The connection is cut after the server has answered."""
    ANSWER_HELD = auto()
    """The server answers, but no answer reaches the client from then on."""


class Wire:
    """Forwards connections to a server unchanged until it is armed."""

    def __init__(self, server_url: str) -> None:
        parts = urlsplit(server_url)
        [directory], [port] = (parse_qs(parts.query)[name] for name in ("host", "port"))
        self._socket = f"{directory}/.s.PGSQL.{port}"
        self._login = parts.username
        self._database = parts.path
        self._listening: asyncio.Server | None = None
        self._clients: set[asyncio.StreamWriter] = set()
        self._armed: tuple[bytes, Fate] | None = None
        self.url = ""

    async def listen(self) -> None:
        self._listening = await asyncio.start_server(self._carry, LOOPBACK, 0)
        port = self._listening.sockets[0].getsockname()[1]
        self.url = f"postgresql://{self._login}@{LOOPBACK}:{port}{self._database}?sslmode=disable"

    def arm(self, request: bytes, fate: Fate) -> None:
        """Apply a fate to the next request that contains these bytes."""
        self._armed = request, fate

    @property
    def is_armed(self) -> bool:
        """Whether no such request has arrived yet."""
        return self._armed is not None

    def close(self) -> None:
        """Cut all connections and accept no new ones."""
        if self._listening:
            self._listening.close()
        for client in self._clients:
            client.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_unix_connection(self._socket)
        self._clients.add(writer)
        met: list[Fate] = []
        ways = {
            asyncio.create_task(self._carry_requests(reader, server_writer, met)),
            asyncio.create_task(self._carry_answers(server_reader, writer, met)),
        }
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        self._clients.discard(writer)
        for way in ways:
            way.cancel()
        for each in (writer, server_writer):
            each.transport.abort()

    async def _carry_requests(
        self, client: asyncio.StreamReader, server: asyncio.StreamWriter, met: list[Fate]
    ) -> None:
        with suppress(OSError):
            while request := await client.read(READ_BYTES_MAX):
                if self._armed and self._armed[0] in request:
                    met.append(self._armed[1])
                    self._armed = None
                    if met == [Fate.REQUEST_LOST]:
                        return
                server.write(request)
                await server.drain()

    async def _carry_answers(self, server: asyncio.StreamReader, client: asyncio.StreamWriter, met: list[Fate]) -> None:
        with suppress(OSError):
            while answer := await server.read(READ_BYTES_MAX):
                if met == [Fate.ANSWER_LOST]:
                    return
                if not met:
                    client.write(answer)
                    await client.drain()


@asynccontextmanager
async def wired(server_url: str) -> AsyncIterator[Wire]:
    """Run a wire to a database, and close it at the end."""
    wire = Wire(server_url)
    await wire.listen()
    try:
        yield wire
    finally:
        wire.close()
