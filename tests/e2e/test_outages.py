"""After a minute without PostgreSQL or Temporal, a running batch has lost nothing and continues promptly."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg

from local_stack import LocalStack
from runtime.stack_state import StackState
from tests.e2e.conftest import Commands
from tests.support.settlements import eventually

OUTAGE_S = 60
CHUNK_COUNT = 120
CHUNK_SIZE = 10
_COUNT_CLOSED = "SELECT count(*) FROM settlement.chunk_states WHERE state = 'closed'"
# The batch must not be over before the server goes down.
_SLOW_CREDITS = """
CREATE FUNCTION fund_platform.take_a_moment() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    PERFORM pg_sleep(0.2);
    RETURN NULL;
END $$;
CREATE TRIGGER take_a_moment AFTER INSERT ON fund_platform.credit_answers
    FOR EACH STATEMENT EXECUTE FUNCTION fund_platform.take_a_moment();
"""


@asynccontextmanager
async def own_stack(directory: Path) -> AsyncIterator[tuple[LocalStack, StackState]]:
    stack = LocalStack(directory)
    try:
        yield stack, await asyncio.to_thread(stack.up)
    finally:
        await asyncio.to_thread(stack.down)


async def count_closed_chunks(database_url: str) -> int:
    """Return how many chunks are closed, or 0 while PostgreSQL is down."""
    try:
        async with await psycopg.AsyncConnection.connect(database_url) as connection:
            row = await (await connection.execute(_COUNT_CLOSED)).fetchone()
    except psycopg.OperationalError:
        return 0
    return row[0] if row else 0


async def is_accepting(server: str, state: StackState) -> bool:
    if server == "temporal":
        host, _, port = state.temporal_address.rpartition(":")
        try:
            _, writer = await asyncio.open_connection(host, int(port))
        except OSError:
            return False
        writer.close()
        return True
    try:
        await (await psycopg.AsyncConnection.connect(state.database_url)).close()
    except psycopg.OperationalError:
        return False
    return True


def kill(directory: Path, server: str) -> None:
    os.killpg(json.loads((directory / "run" / f"{server}.json").read_text())["pid"], signal.SIGKILL)


async def settle_across_an_outage(directory: Path, server: str) -> float:
    """Settle a batch with a server down for a while. Return the seconds from its return to the next closed chunk."""
    async with own_stack(directory / "stack") as (stack, state):
        commands = Commands(
            directory,
            {
                "SETTLE_DATABASE_URL": state.database_url,
                "TEMPORAL_ADDRESS": state.temporal_address,
                "SETTLE_STACK_DIR": str(directory / "none"),
            },
        )

        async def ok(*arguments: str) -> str:
            return await asyncio.to_thread(commands.ok, *arguments)

        await ok("migrate")
        await ok("sample", "orders.csv", "--orders", str(CHUNK_COUNT * CHUNK_SIZE))
        await ok("import", "orders.csv")
        async with await psycopg.AsyncConnection.connect(state.database_url) as connection:
            await connection.execute(_SLOW_CREDITS)
        with commands.worker():
            await ok("run", "--batch-id", "b", "--chunk-size", str(CHUNK_SIZE))
            await eventually(lambda: count_closed_chunks(state.database_url))
            kill(directory / "stack", server)
            await asyncio.sleep(OUTAGE_S)
            starting = asyncio.create_task(asyncio.to_thread(stack.up))
            await eventually(lambda: is_accepting(server, state))
            returned_s = time.monotonic()
            closed_count = await count_closed_chunks(state.database_url)
            assert closed_count < CHUNK_COUNT, "the batch was over before the server went away"

            async def has_gone_on() -> bool:
                return await count_closed_chunks(state.database_url) > closed_count

            await eventually(has_gone_on)
            resumed_after_s = time.monotonic() - returned_s
            await starting
            await ok("run", "--batch-id", "b", "--wait")
        audit = json.loads(await ok("audit", "--json"))
        assert (audit["ok"], audit["orders"], audit["pending"]["order_count"]) == (True, CHUNK_COUNT * CHUNK_SIZE, 0)
        assert (audit["failed"]["order_count"], audit["held"]["order_count"]) == (0, 0)
        for line in (directory / "worker.log").read_text().splitlines():
            event = json.loads(line)
            assert event["event"]
            assert "ConnectionRefusedError" not in event.get("exception", ""), "a log should say this in a sentence"
    return resumed_after_s


async def test_a_batch_goes_on_soon_after_a_minute_without_postgresql_or_temporal(tmp_path: Path) -> None:
    """Waits that grow with an outage could be as long as it was. An idle machine continues within seconds."""
    servers = ("postgresql", "temporal")
    for server in servers:
        (tmp_path / server).mkdir()
    resumed_after_s = await asyncio.gather(*(settle_across_an_outage(tmp_path / server, server) for server in servers))
    told = dict(zip(servers, resumed_after_s, strict=True))
    sys.stdout.write(f"seconds from the return of a server to the next closed chunk: {told}\n")
    assert max(resumed_after_s) < OUTAGE_S, told
