"""A link forwards data in both directions, and after a cut both sides notice it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from local_stack.ports import LOOPBACK
from tests.chaos.links import Link

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def linked(directory: Path) -> AsyncIterator[tuple[Link, int, "asyncio.Queue[Stream]"]]:
    """Yield a link to a server on a Unix socket, the link's port, and the server's ends of its connections."""
    accepted: asyncio.Queue[Stream] = asyncio.Queue()
    server = await asyncio.start_unix_server(
        lambda reader, writer: accepted.put_nowait((reader, writer)), directory / "socket"
    )
    link = Link(lambda: asyncio.open_unix_connection(directory / "socket"))
    async with asyncio.timeout(120):
        try:
            yield link, await link.listen_on_port(), accepted
        finally:
            link.close()
            server.close()


async def test_what_is_said_arrives_on_both_sides(tmp_path: Path) -> None:
    async with linked(tmp_path) as (_, port, accepted):
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
        writer.write(b"question")
        server_reader, server_writer = await accepted.get()
        assert await server_reader.readexactly(8) == b"question"
        server_writer.write(b"answer")
        assert await reader.readexactly(6) == b"answer"
        server_writer.close()
        assert await reader.read() == b""
        writer.close()


async def test_a_cut_ends_all_connections_on_both_sides_and_new_ones_are_carried(tmp_path: Path) -> None:
    async with linked(tmp_path) as (link, port, accepted):
        clients = [await asyncio.open_connection(LOOPBACK, port) for _ in range(2)]
        ends = [await accepted.get() for _ in clients]
        for _, writer in clients:
            writer.write(b"a")
        for reader, _ in ends:
            await reader.readexactly(1)
        link.cut()
        for reader, _ in clients:
            with pytest.raises(ConnectionResetError):
                await reader.read()
        for reader, writer in ends:
            assert await reader.read() == b""
            writer.close()
        _, writer = await asyncio.open_connection(LOOPBACK, port)
        _, server_writer = await accepted.get()
        writer.close()
        server_writer.close()
