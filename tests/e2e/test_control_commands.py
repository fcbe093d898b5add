"""`settle pause`, `resume`, `abort` and `window` have the documented effect, output and exit code."""

import json
import re
from typing import Any

import psycopg
import pytest

from domain import limits
from tests.e2e.conftest import Commands
from tests.support.settlements import eventually

ORDER_COUNT = 400


def import_orders(commands: Commands, bad_rate: str = "0.02") -> None:
    commands.ok("sample", "orders.csv", "--orders", str(ORDER_COUNT), "--seed", "7", "--bad-rate", bad_rate)
    commands.ok("import", "orders.csv")


def status_of(commands: Commands, batch_id: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(commands.ok("status", batch_id, "--json"))
    return found


def test_an_operators_day_pause_window_resume_abort_and_rerun(commands: Commands, batch_id: str) -> None:
    import_orders(commands)
    with commands.worker():
        with psycopg.connect(commands.database_url) as connection:  # no credit is posted until the abort
            connection.execute("LOCK TABLE fund_platform.credit_answers IN SHARE MODE")
            commands.ok("run", "--batch-id", batch_id, "--chunk-size", "2", "--window", "1")
            told = commands.ok("pause", batch_id, "--reason", "a repair")
            assert told.startswith(f"Batch {batch_id} is paused: chunks in flight finish, and no more are started.")
            assert f"Batch {batch_id} is already paused" in commands.ok("pause", batch_id)
            assert status_of(commands, batch_id)["batch"]["state"] == "paused"
            told = commands.ok("status", batch_id)
            assert f"{batch_id} is paused: " in told
            assert re.search(r"UTC: pause, by \S+@\S+: a repair\n", told)
            assert f"settle resume {batch_id}" in told

            waited = commands.run("run", "--batch-id", batch_id, "--wait")
            assert waited.returncode == 1
            assert f"settle: Batch {batch_id} is paused: a repair" in waited.stderr

            assert "has up to 3 chunks in flight." in commands.ok("window", batch_id, "3")
            assert "already has up to 3 chunks in flight." in commands.ok("window", batch_id, "3")
            assert status_of(commands, batch_id)["control"]["window"] == 3
            assert f"Batch {batch_id} continues" in commands.ok("resume", batch_id)
            assert "was not paused" in commands.ok("resume", batch_id)
            commands.ok("pause", batch_id)
            told = commands.ok("abort", batch_id, "--reason", "enough")
            assert told.startswith(
                f"Batch {batch_id} is being aborted: chunks in flight finish, and all other items are held"
            )
        waited = commands.run("run", "--batch-id", batch_id, "--wait")
        assert waited.returncode == 1
        assert f"Batch {batch_id} is aborted" in waited.stdout
        refused = commands.run("pause", batch_id)
        assert refused.returncode == 2
        assert "the batch is aborted, which is final." in refused.stderr
        report = json.loads(commands.ok("report", batch_id, "--json"))
        assert (report["state"], report["balanced"]) == ("aborted", True)
        assert report["held"]["order_count"] == report["reasons"]["NOT_ATTEMPTED"] > 0
        commands.ok("rerun", batch_id, "--outcome", "held", "--wait")
    found = status_of(commands, batch_id)
    assert [each["action"] for each in found["actions"]] == ["pause", "window", "resume", "pause", "abort"]
    expected = json.loads((commands.directory / "orders.expected.json").read_text())
    audit = json.loads(commands.ok("audit", "--json"))
    assert (audit["ok"], audit["orders"], audit["settled"]) == (True, ORDER_COUNT, expected["settled"])


async def test_a_batch_that_pauses_itself_ends_the_wait_and_says_why(commands: Commands, batch_id: str) -> None:
    import_orders(commands, bad_rate="0.5")
    commands.environment["SETTLE_REJECTED_COUNT_MAX"] = "10"
    with commands.worker():
        waited = commands.run("run", "--batch-id", batch_id, "--chunk-size", "50", "--window", "1", "--wait")
        assert waited.returncode == 1
        assert re.search(
            rf"settle: Batch {batch_id} is paused: \d+ of the 50 orders that have an outcome so far were rejected",
            waited.stderr,
        )
        assert status_of(commands, batch_id)["actions"][0]["requested_by"] == "settle"
        commands.ok("resume", batch_id)
        assert commands.run("run", "--batch-id", batch_id, "--wait").returncode == 0


@pytest.mark.parametrize("is_paused", [True, False], ids=["paused", "not paused"])
async def test_a_dead_batch_is_started_by_resume(commands: Commands, batch_id: str, *, is_paused: bool) -> None:
    """`settle run` leaves a batch so if it dies after opening it, and so does a loss of Temporal's database."""
    import_orders(commands)
    with psycopg.connect(commands.database_url) as connection:
        connection.execute(
            "INSERT INTO settlement.batches "
            "(batch_id, source, state, business_date, cutoff_at, chunk_size, window_size, is_paused, action_no) "
            "VALUES (%s, 'manual', 'open', '2026-11-22', '2026-11-22Z', 100, 1, %s, %s)",
            (batch_id, is_paused, int(is_paused)),
        )
    with commands.worker():
        told = commands.ok("resume", batch_id)
        assert ("continues" if is_paused else "its workflow is running") in told

        async def is_closed() -> bool:
            return bool(status_of(commands, batch_id)["batch"]["state"] == "closed")

        await eventually(is_closed)


def test_without_a_worker_an_action_is_told_to_be_unanswered(commands: Commands, batch_id: str) -> None:
    import_orders(commands)
    commands.ok("run", "--batch-id", batch_id)
    commands.is_patient = False
    told = commands.run("pause", batch_id)
    assert told.returncode == 3
    assert f"No worker answered within {limits.CONTROL_ANSWER_TIMEOUT_S} s" in told.stderr
    assert "Check that a worker is running, then repeat the action. Start one with: settle worker" in told.stderr


def test_text_that_no_reason_can_be_is_a_wrong_call(commands: Commands, batch_id: str) -> None:
    import_orders(commands)
    commands.ok("run", "--batch-id", batch_id)
    refused = commands.run("pause", batch_id, "--reason", "two\nlines")
    assert refused.returncode == 2
    assert "reason takes at most 500 printable characters" in refused.stderr
