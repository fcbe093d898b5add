"""The `settle schedule` commands, as a person runs them."""

import json
import re
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

from tests.e2e.conftest import COMMAND_TIMEOUT_S, Commands, Finished

ORDER_COUNT = 300
POLL_INTERVAL_S = 0.05


@pytest.fixture
def scheduled(commands: Commands) -> Iterator[Commands]:
    """Commands with a schedule that is deleted at the end."""
    yield commands
    commands.run("schedule", "delete")


def assert_refused(finished: Finished, *parts: str) -> None:
    assert finished.returncode == 2, finished.stdout + finished.stderr
    assert finished.stdout == ""
    assert "Traceback" not in finished.stderr
    for part in parts:
        assert part in finished.stderr


def show(commands: Commands) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(commands.ok("schedule", "show", "--json"))
    return found


def await_closed(commands: Commands, batch_id: str) -> None:
    deadline = time.monotonic() + COMMAND_TIMEOUT_S
    with psycopg.connect(commands.database_url, autocommit=True) as connection:
        query = "SELECT closed_at FROM settlement.batches WHERE batch_id = %s AND closed_at IS NOT NULL"
        while not connection.execute(query, (batch_id,)).fetchone():
            assert time.monotonic() < deadline
            time.sleep(POLL_INTERVAL_S)


def test_schedule_apply_and_show(scheduled: Commands) -> None:
    commands = scheduled
    schedule_id = f"{commands.environment['SETTLE_TASK_QUEUE']}-daily"
    created = commands.ok("schedule", "apply")
    assert f"Schedule {schedule_id} is created." in created
    assert "fires every day at 06:00:00 UTC" in created
    commands.environment |= {
        "SETTLE_SCHEDULE_TIME_LOCAL": "05:15:30",
        "SETTLE_CUTOFF_TIME_LOCAL": "04:00",
        "SETTLE_CUTOFF_TIMEZONE": "Asia/Shanghai",
    }
    told = commands.ok("schedule", "show")
    assert "The settings here say 05:15:30 Asia/Shanghai" in told
    assert "settle schedule apply" in told
    assert f"Schedule {schedule_id} is up to date." in commands.ok("schedule", "apply")
    told = commands.ok("schedule", "show")
    assert "fires every day at 05:15:30 Asia/Shanghai" in told
    assert "The settings here" not in told

    found = show(commands)
    assert (found["schedule_id"], found["is_paused"], found["run_time_local"]) == (schedule_id, False, "05:15:30")
    assert len(found["next_fires"]) == 5
    for fire in found["next_fires"]:
        local = datetime.fromisoformat(fire["fires_at_local"])
        assert (local.time().isoformat(), local.utcoffset()) == ("05:15:30", timedelta(hours=8))
        assert datetime.fromisoformat(fire["fires_at"]) == local
        assert fire["business_date"] == local.date().isoformat()
        assert local - datetime.fromisoformat(fire["cutoff_at"]) == timedelta(hours=1, minutes=15, seconds=30)
        assert f"{local.isoformat(sep=' ')}" in told
        assert f"{fire['fires_at'][:10]} {fire['fires_at'][11:19]}" in told


def test_schedule_trigger_settles(scheduled: Commands) -> None:
    commands = scheduled
    commands.ok("sample", "orders.csv", "--orders", str(ORDER_COUNT), "--seed", "7", "--bad-rate", "0.1")
    commands.ok("import", "orders.csv")
    expected = json.loads((commands.directory / "orders.expected.json").read_text())
    commands.ok("schedule", "apply")
    with commands.worker():
        told = commands.ok("schedule", "trigger")
        named = re.search(r"settle watch (\S+)", told)
        assert named, told
        await_closed(commands, named[1])
        joined = commands.ok("run", "--batch-id", named[1], "--wait")  # the workflow may not have ended yet
    report = json.loads(commands.ok("report", named[1], "--json"))
    assert (report["source"], report["state"], report["balanced"]) == ("schedule", "closed", True)
    assert report["business_date"] == re.findall(r"\d{4}-\d{2}-\d{2}", named[1])[-1]
    for total in ("settled", "rejected", "reasons"):
        assert report[total] == expected[total]
    assert json.loads(commands.ok("audit", "--json"))["ok"]
    assert "exists and is closed" in joined


def test_schedule_delete(commands: Commands) -> None:
    commands.ok("schedule", "apply")
    told = commands.ok("schedule", "delete")
    assert "test_schedule_delete-daily is deleted" in told
    assert "continue. List them with" in told
    for command in ("show", "trigger", "delete"):
        assert_refused(commands.run("schedule", command), "no schedule test_schedule_delete-daily", "schedule apply")


def test_schedule_apply_refuses_what_would_not_fire_every_day(commands: Commands) -> None:
    finished = commands.run(
        "schedule", "apply", SETTLE_SCHEDULE_TIME_LOCAL="02:30", SETTLE_CUTOFF_TIMEZONE="Europe/Berlin"
    )
    assert_refused(finished, "02:30:00 Europe/Berlin", "the clocks there", "SETTLE_SCHEDULE_TIME_LOCAL")
    assert_refused(commands.run("schedule", "apply", SETTLE_TASK_QUEUE="a/b"), "'a/b'", "SETTLE_TASK_QUEUE")
    for malformed in ("06:00+08:00", "06:00:00.5", "six"):
        finished = commands.run("schedule", "apply", SETTLE_SCHEDULE_TIME_LOCAL=malformed)
        assert_refused(finished, "SETTLE_SCHEDULE_TIME_LOCAL")
    assert_refused(commands.run("schedule", "show"), "There is no schedule")


def test_a_namespace_that_is_not_there_is_not_taken_for_a_missing_schedule(commands: Commands) -> None:
    finished = commands.run("schedule", "show", TEMPORAL_NAMESPACE="nowhere")
    assert finished.returncode == 3
    assert "nowhere" in finished.stderr
    assert "Traceback" not in finished.stderr
