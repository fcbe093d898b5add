"""`GET /livez` and `GET /readyz` of the long-running commands report a database that goes down and comes back."""

import asyncio
import json
import socket
from http import HTTPStatus
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest

from runtime.stack_state import StackState
from tests.e2e.conftest import COMMAND_TIMEOUT_S, Commands
from tests.support.databases import execute
from tests.support.settlements import eventually


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def fetch(url: str) -> tuple[int, dict[str, object]]:
    try:
        with urlopen(url, timeout=COMMAND_TIMEOUT_S) as response:  # noqa: S310 (http)
            return response.status, json.loads(response.read())
    except HTTPError as error:
        with error:
            return error.code, json.loads(error.read())
    except URLError:  # it does not listen yet
        return 0, {}


AT_WORK = {"worker": "worker serves the task queue", "intake": "intake takes orders in", "relay": "relay delivers"}


@pytest.mark.parametrize("command", AT_WORK)
async def test_a_process_says_whether_it_lives_and_whether_what_it_needs_answers(
    command: str, commands: Commands, stack: StackState, topic_prefix: str
) -> None:
    port = free_port()
    commands.environment |= {
        "SETTLE_HEALTH_PORT": str(port),
        "SETTLE_TOPIC_PREFIX": topic_prefix,
        "KAFKA_BOOTSTRAP_SERVERS": stack.kafka_bootstrap_servers,
    }
    commands.ok("migrate")
    database = urlsplit(commands.database_url).path.strip("/")

    async def answer() -> int:
        status, _ = await asyncio.to_thread(fetch, f"http://127.0.0.1:{port}/readyz")
        return status

    async def is_ready() -> bool:
        return await answer() == HTTPStatus.OK

    async def is_at_work() -> bool:
        """Return whether the process is at work. Before that, it ends if the database is down."""
        return AT_WORK[command] in (commands.directory / f"{command}.log").read_text()

    async def is_not_ready() -> bool:
        return await answer() == HTTPStatus.SERVICE_UNAVAILABLE

    async def names_the_database() -> bool:
        _, said = await asyncio.to_thread(fetch, f"http://127.0.0.1:{port}/readyz")
        return "PostgreSQL has not answered lately: Could not connect to PostgreSQL" in str(said.get("reason"))

    with commands.running(command):
        await eventually(is_ready)
        await eventually(is_at_work)
        execute(stack.database_url, "ALTER DATABASE {} ALLOW_CONNECTIONS false", database)
        await eventually(is_not_ready)
        await eventually(names_the_database)
        live = await asyncio.to_thread(fetch, f"http://127.0.0.1:{port}/livez")
        execute(stack.database_url, "ALTER DATABASE {} ALLOW_CONNECTIONS true", database)
        await eventually(is_ready)
    assert live == (HTTPStatus.OK, {"live": True})
