"""Processes report liveness and readiness over HTTP."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import NamedTuple

import pytest
from aiohttp import ClientSession

from domain import limits
from domain.errors import UnavailableError
from tests.support.settlements import eventually
from workers.health import Checks, serving_health


class Answer(NamedTuple):
    status: int
    said: dict[str, object]


class Server:
    """A server that the process needs, and that may be down or silent."""

    def __init__(self) -> None:
        self.is_away = False
        self.is_silent = False

    async def check(self) -> None:
        if self.is_silent:
            await asyncio.Event().wait()
        if self.is_away:
            raise UnavailableError("Could not connect to it: connection refused.")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HEALTH_CHECK_INTERVAL_S", 0.01)
    monkeypatch.setattr(limits, "HEALTH_CHECK_TIMEOUT_S", 0.1)
    monkeypatch.setattr(limits, "HEALTH_FRESH_S", 0.3)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Process:
    """A process that serves its health."""

    def __init__(self, port: int, stop: asyncio.Event, http: ClientSession) -> None:
        self.stop = stop
        self._port = port
        self._http = http

    async def get(self, path: str) -> Answer:
        async with self._http.get(f"http://127.0.0.1:{self._port}{path}") as response:
            return Answer(response.status, json.loads(await response.text()))

    async def says(self, path: str, status: int, said: dict[str, object]) -> bool:
        return await self.get(path) == (status, said)

    async def is_ready(self) -> bool:
        return (await self.get("/readyz")) == (200, {"ready": True})

    async def is_not_ready(self) -> bool:
        return (await self.get("/readyz")).status == 503


@asynccontextmanager
async def process(checks: Checks) -> AsyncIterator[Process]:
    port, stop = free_port(), asyncio.Event()
    async with serving_health(port, checks, stop), ClientSession() as http:
        yield Process(port, stop, http)


async def test_a_process_is_live_whatever_is_away_and_ready_when_all_has_answered() -> None:
    database, brokers = Server(), Server()
    brokers.is_away = True
    async with process({"PostgreSQL": database.check, "Kafka": brokers.check}) as served:
        assert await served.get("/livez") == (200, {"live": True})
        assert await served.is_not_ready()
        brokers.is_away = False
        await eventually(served.is_ready)


async def test_what_goes_away_is_named_with_its_error_and_comes_back() -> None:
    database, brokers = Server(), Server()
    async with process({"PostgreSQL": database.check, "Kafka": brokers.check}) as served:
        await eventually(served.is_ready)
        database.is_away = True
        reason = "PostgreSQL has not answered lately: Could not connect to it: connection refused."
        await eventually(partial(served.says, "/readyz", 503, {"ready": False, "reason": reason}))
        database.is_away = False
        await eventually(served.is_ready)


async def test_what_is_silent_is_not_waited_for() -> None:
    server = Server()
    async with process({"Temporal": server.check}) as served:
        await eventually(served.is_ready)
        server.is_silent = True
        reason = "Temporal has not answered lately: no answer within 0.1 s."
        await eventually(partial(served.says, "/readyz", 503, {"ready": False, "reason": reason}))


async def test_a_process_that_is_told_to_stop_is_live_and_not_ready() -> None:
    async with process({"Temporal": Server().check}) as served:
        await eventually(served.is_ready)
        served.stop.set()
        assert await served.get("/readyz") == (503, {"ready": False, "reason": "The process is shutting down."})
        assert (await served.get("/livez")).status == 200


async def test_a_port_that_is_taken_is_told() -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:  # noqa: S104 (as the process does)
        port = taken.getsockname()[1]
        with pytest.raises(UnavailableError, match=f"Could not listen on port {port}: .*SETTLE_HEALTH_PORT"):
            async with serving_health(port, {}, asyncio.Event()):
                pass


async def test_without_a_port_nothing_is_asked() -> None:
    async def check() -> None:
        raise AssertionError

    async with serving_health(None, {"Temporal": check}, asyncio.Event()):
        await asyncio.sleep(0)
