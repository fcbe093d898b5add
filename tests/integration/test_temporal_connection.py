"""If a Temporal server stops answering, the command says so and does not wait."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from domain.errors import UnansweredError
from runtime.settings import Settings
from runtime.stack_state import StackState
from runtime.temporal import connect_temporal, is_answering
from tests.support.settlements import DEADLINE_S, opening_of
from workflows.batch_client import start_batch_workflow


class Wire:
    """A connection to the server that forwards bytes until it is cut."""

    def __init__(self) -> None:
        self.is_silent = False

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                if not self.is_silent:
                    writer.write(data)
        finally:
            writer.close()


@asynccontextmanager
async def through_a_wire(stack: StackState) -> AsyncIterator[tuple[Wire, str]]:
    wire = Wire()
    host, _, port = stack.temporal_address.rpartition(":")
    carrying: list[asyncio.Task[None]] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(host, int(port))
        carrying.append(asyncio.create_task(wire.carry(reader, server_writer)))
        carrying.append(asyncio.create_task(wire.carry(server_reader, writer)))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    yield wire, f"{address[0]}:{address[1]}"
    server.close()
    for task in carrying:
        task.cancel()
    await asyncio.gather(*carrying, return_exceptions=True)


async def test_a_server_that_falls_silent_after_the_connection_is_told_in_time(
    stack: StackState, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with through_a_wire(stack) as (wire, address):
        monkeypatch.setenv("TEMPORAL_ADDRESS", address)
        client = await connect_temporal(Settings())
        assert await is_answering(client)
        wire.is_silent = True
        async with asyncio.timeout(DEADLINE_S):
            pinged, started_batch = await asyncio.gather(
                is_answering(client),
                start_batch_workflow(client, "nobody", opening_of("silent", chunk_size=1, window=1)),
                return_exceptions=True,
            )
    assert pinged is False
    assert isinstance(started_batch, UnansweredError)
    assert "Temporal did not answer within 5 s" in str(started_batch)
