"""The Fund Platform gets no more credits than the cap allows, and nearly as many."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from functools import partial
from itertools import pairwise

import psycopg
import pytest

from domain import limits
from tests.e2e.conftest import COMMAND_TIMEOUT_S, Commands
from tests.support.settlements import eventually

CREDITS_PER_S = 500
# Only to detect a hang. An idle machine reaches 0.9, but a busy one is late for its turns.
REACHED_SHARE_MIN = 0.05
# The most that the clock of a wait and the database's clock may differ.
CLOCK_S = 0.05
CHUNK_SIZE = 250
ORDER_COUNT = 4_000

# The Fund Platform's own record of the requested credits and their times.
COUNT_REQUESTS = """
CREATE TABLE fund_platform.seen (at_s float8 NOT NULL, credit_count integer NOT NULL);
CREATE FUNCTION fund_platform.see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO fund_platform.seen
    SELECT extract(epoch FROM clock_timestamp()), count(*) FROM asked HAVING count(*) > 0;
    RETURN NULL;
END $$;
CREATE TRIGGER see AFTER INSERT ON fund_platform.credit_answers
    REFERENCING NEW TABLE AS asked FOR EACH STATEMENT EXECUTE FUNCTION fund_platform.see();
"""
# The record of the turns, each with the time from which the next one may begin.
COUNT_TURNS = """
CREATE TABLE settlement.turns (next_at_s float8 NOT NULL);
CREATE FUNCTION settlement.count_turn() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO settlement.turns VALUES (extract(epoch FROM new.free_at));
    RETURN NULL;
END $$;
CREATE TRIGGER count_turn AFTER UPDATE ON settlement.credit_buckets
    FOR EACH ROW WHEN (new.free_at IS DISTINCT FROM old.free_at) EXECUTE FUNCTION settlement.count_turn();
"""


@pytest.fixture
def counted(commands: Commands) -> Commands:
    """Commands on good orders and a Fund Platform that counts its requests."""
    commands.ok("sample", "orders.csv", "--orders", str(ORDER_COUNT), "--seed", "5", "--bad-rate", "0")
    commands.ok("import", "orders.csv")
    with psycopg.connect(commands.database_url) as connection:
        connection.execute(COUNT_REQUESTS)
        connection.execute(COUNT_TURNS)
    return commands


async def all_serve(commands: Commands, worker_count: int) -> bool:
    logs = (path.read_text() for path in commands.directory.glob("worker-*.log"))
    return sum("serves the task queue" in log for log in logs) == worker_count


def seen_by(commands: Commands) -> list[tuple[float, int]]:
    with psycopg.connect(commands.database_url) as connection:
        return connection.execute("SELECT at_s, credit_count FROM fund_platform.seen ORDER BY at_s").fetchall()


def turns_of(commands: Commands, credits_per_s: int) -> list[float]:
    """Return when the turns began, each given to a chunk."""
    turn_s = CHUNK_SIZE / (credits_per_s * limits.CREDIT_PACE)
    with psycopg.connect(commands.database_url) as connection:
        rows = connection.execute("SELECT next_at_s FROM settlement.turns ORDER BY next_at_s").fetchall()
    return [next_at_s - turn_s for (next_at_s,) in rows]


def require_capped(commands: Commands, credits_per_s: int) -> None:
    """Require that no turn begins before the cap allows it and that no request comes before its turn.

    On a busy machine a request may come late.
    """
    seen, turns = seen_by(commands), turns_of(commands, credits_per_s)
    for earlier_s, later_s in pairwise(turns):
        assert later_s - earlier_s >= CHUNK_SIZE / credits_per_s
    assert len(seen) <= len(turns)
    for (at_s, credit_count), turn_at_s in zip(seen, turns, strict=False):
        assert credit_count <= CHUNK_SIZE
        assert at_s >= turn_at_s - CLOCK_S


def reached_per_s(seen: list[tuple[float, int]]) -> float:
    """Return the credits per second. The last request is left out, because its time is not over when it is seen."""
    return sum(credit_count for _, credit_count in seen[:-1]) / (seen[-1][0] - seen[0][0])


def run(commands: Commands, *options: str) -> str:
    """Settle all orders as one batch and return its id."""
    batch_id = f"capped-{os.getpid()}-{commands.directory.name}"
    commands.ok("run", "--batch-id", batch_id, "--chunk-size", str(CHUNK_SIZE), "--wait", *options)
    report = json.loads(commands.ok("report", batch_id, "--json"))
    assert (report["state"], report["settled"]["order_count"]) == ("closed", ORDER_COUNT)
    assert json.loads(commands.ok("audit", "--json"))["ok"]
    return batch_id


@pytest.mark.parametrize("worker_count", [1, 2, 4])
async def test_the_installations_cap_holds_and_is_used_with_any_number_of_workers(
    worker_count: int, counted: Commands
) -> None:
    counted.environment["SETTLE_CREDITS_PER_S"] = str(CREDITS_PER_S)
    with ExitStack() as workers:
        for number in range(worker_count):
            workers.enter_context(counted.running("worker", f"worker-{number}"))
        await eventually(partial(all_serve, counted, worker_count))
        await asyncio.to_thread(run, counted)
    seen = seen_by(counted)
    assert sum(credit_count for _, credit_count in seen) == ORDER_COUNT
    require_capped(counted, CREDITS_PER_S)
    assert reached_per_s(seen) >= REACHED_SHARE_MIN * CREDITS_PER_S


@pytest.mark.parametrize("point", ["before-request", "after-effect"])
def test_a_batchs_own_cap_holds_when_a_worker_dies_around_a_request(point: str, counted: Commands) -> None:
    batch_id = f"capped-{os.getpid()}-{counted.directory.name}"
    cap = ("--credits-per-s", str(CREDITS_PER_S))
    counted.ok("run", "--batch-id", batch_id, "--chunk-size", str(CHUNK_SIZE), *cap)
    with (
        (counted.directory / "failing.log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.dying_worker", point],
            env=os.environ | counted.environment,
            stdout=log,
            stderr=log,
        ) as failing,
    ):
        try:
            assert failing.wait(COMMAND_TIMEOUT_S) == -signal.SIGKILL
        finally:
            failing.kill()
    with counted.worker():
        assert run(counted, *cap) == batch_id
    require_capped(counted, CREDITS_PER_S)
    assert "at most 500 credits a second" in counted.ok("status", batch_id)
    assert json.loads(counted.ok("status", batch_id, "--json"))["batch"]["credits_per_s"] == CREDITS_PER_S
