"""Proxies between Settle's processes and a server, with connections that can be cut."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from local_stack.ports import LOOPBACK

READ_BYTES_MAX = 65_536
RESET_AT_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER with a timeout of zero

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Link:
    """Forwards connections to a server unchanged, and can reset all of them together, with the data on its way."""

    def __init__(self, connect: Callable[[], Awaitable[Stream]]) -> None:
        """Create a link.

        Args:
            connect: opens a connection to the server.
        """
        self._connect = connect
        self._server: asyncio.Server | None = None
        self._carrying: set[asyncio.StreamWriter] = set()

    async def listen_on_port(self) -> int:
        """Accept connections on a free port of this machine, and return the port."""
        self._server = await asyncio.start_server(self._carry, LOOPBACK, 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def listen_on_socket(self, path: Path) -> None:
        """Accept connections on a Unix socket."""
        self._server = await asyncio.start_unix_server(self._carry, path)

    def cut(self) -> None:
        """Reset all connections. New ones are still accepted."""
        for writer in self._carrying:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
            writer.transport.abort()

    def close(self) -> None:
        """Reset all connections and accept no new ones."""
        if self._server:
            self._server.close()
        self.cut()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server_reader, server_writer = await self._connect()
        except OSError:
            writer.transport.abort()
            return
        both = {writer, server_writer}
        self._carrying |= both
        ways = {asyncio.create_task(_copy(reader, server_writer)), asyncio.create_task(_copy(server_reader, writer))}
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        self._carrying -= both
        for each in both:
            each.close()
        for way in ways:
            way.cancel()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while some := await reader.read(READ_BYTES_MAX):
            writer.write(some)
            await writer.drain()
