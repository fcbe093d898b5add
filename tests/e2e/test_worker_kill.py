"""A worker that is killed (SIGKILL) with work in flight loses and doubles nothing."""

import json
import os
from pathlib import Path

import psycopg
import pytest

from bench.only_worker import replace_only_worker
from bench.settlement_run import KILL_AT_FRACTION, settle_one_batch
from runtime.settings import load_settings
from tests.e2e.conftest import Commands
from tests.support.settlements import DEADLINE_S

ORDER_COUNT = 4_000
CHUNK_SIZE = 100
# Credits take a moment, so the kill hits some in flight and the batch is not over before it.
SLOW_CREDITS = """
CREATE FUNCTION fund_platform.take_a_moment() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    PERFORM pg_sleep(0.3);
    RETURN NULL;
END $$;
CREATE TRIGGER take_a_moment AFTER INSERT ON fund_platform.credit_answers
    FOR EACH STATEMENT EXECUTE FUNCTION fund_platform.take_a_moment();
"""


def prepare(commands: Commands) -> None:
    commands.ok("sample", "orders.csv", "--orders", str(ORDER_COUNT), "--seed", "3")
    commands.ok("import", "orders.csv")
    with psycopg.connect(commands.database_url) as connection:
        connection.execute(SLOW_CREDITS)


async def test_a_worker_killed_with_work_in_flight_costs_no_order_and_pays_none_twice(
    commands: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(commands)
    for name, value in commands.environment.items():
        monkeypatch.setenv(name, value)
    settings = load_settings().model_copy(update={"chunk_size": CHUNK_SIZE})
    run = await settle_one_batch(settings, tmp_path / "logs", batch_id=f"kill-{os.getpid()}-{tmp_path.name}", kill=True)

    assert run.kill
    assert run.kill.at_fraction >= KILL_AT_FRACTION
    assert run.kill_cost
    assert run.kill_cost.attempts_max >= 2
    expected = json.loads((tmp_path / "orders.expected.json").read_text())
    report = json.loads(commands.ok("report", run.batch_id, "--json"))
    audit = json.loads(commands.ok("audit", "--json"))
    assert {total: report[total] for total in ("settled", "rejected", "reasons")} == {
        total: expected[total] for total in ("settled", "rejected", "reasons")
    }
    assert report["state"] == "closed"
    assert (audit["ok"], audit["orders"], audit["pending"]["order_count"]) == (True, ORDER_COUNT, 0)


async def test_the_replacement_of_the_only_worker_goes_on(
    commands: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(commands)
    for name, value in commands.environment.items():
        monkeypatch.setenv(name, value)
    settings = load_settings().model_copy(update={"chunk_size": CHUNK_SIZE})
    batch_id = f"replaced-{os.getpid()}-{tmp_path.name}"
    replaced_s = await replace_only_worker(settings, tmp_path / "logs", batch_id=batch_id)

    assert replaced_s < DEADLINE_S
    assert json.loads(commands.ok("report", batch_id, "--json"))["state"] == "closed"
    assert json.loads(commands.ok("audit", "--json"))["ok"]
