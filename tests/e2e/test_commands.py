"""The output and the exit code of each command."""

import asyncio
import json

import psycopg

from tests.e2e.conftest import COMMAND_TIMEOUT_S, SETTLE, Commands
from tests.support.databases import EMPTY_SETTLEMENT_STORE
from tests.support.settlements import eventually

ORDER_COUNT = 600


def import_sample(commands: Commands) -> dict[str, object]:
    commands.ok("sample", "orders.csv", "--orders", str(ORDER_COUNT), "--seed", "7", "--bad-rate", "0.1")
    commands.ok("import", "orders.csv")
    expected: dict[str, object] = json.loads((commands.directory / "orders.expected.json").read_text())
    return expected


def test_a_run_settles_what_the_sample_must_give_and_the_commands_agree_on_it(commands: Commands) -> None:
    expected = import_sample(commands)
    with commands.worker():
        told = commands.ok("run", "--wait", "--batch-id", "first-run", "--chunk-size", "50", "--window", "3")
        joined = commands.run("run", "--wait", "--batch-id", "first-run")
    report = json.loads(commands.ok("report", "first-run", "--json"))
    audit = json.loads(commands.ok("audit", "--json"))
    status = json.loads(commands.ok("status", "first-run", "--json"))
    listed = json.loads(commands.ok("batches", "--json"))

    assert "Balanced" in told
    assert joined.returncode == 0
    assert "exists and is closed" in joined.stdout
    for total in ("settled", "rejected", "reasons"):
        assert report[total] == expected[total]
    assert (report["state"], report["balanced"], report["chunks"]) == ("closed", True, ORDER_COUNT // 50)
    assert (audit["ok"], audit["orders"], audit["pending"]["order_count"]) == (True, ORDER_COUNT, 0)
    assert audit["settled"] == expected["settled"]
    assert status["progress"]["settled"] == report["settled"]["order_count"]
    assert [batch["batch_id"] for batch in listed["batches"]] == ["first-run"]
    assert "98" not in commands.ok("watch", "first-run").splitlines()[0]
    assert "Nothing is overdue" in commands.ok("run")
    assert len(json.loads(commands.ok("batches", "--json"))["batches"]) == 1


def test_rejected_alone_is_no_bad_outcome_and_a_closed_account_takes_no_credit(commands: Commands) -> None:
    import_sample(commands)
    with psycopg.connect(commands.database_url) as connection:
        row = connection.execute("SELECT account_id FROM order_center.orders WHERE status = 'completed'").fetchone()
    assert row
    commands.ok("account", "close", row[0])
    with commands.worker():
        commands.ok("run", "--wait", "--batch-id", "closed-account")
    report = json.loads(commands.ok("report", "closed-account", "--json"))
    assert report["reasons"]["ACCOUNT_CLOSED"] > 0
    assert json.loads(commands.ok("account", "show", row[0], "--json"))["balance_minor"] == 0
    assert json.loads(commands.ok("audit", "--json"))["ok"]


def test_an_audit_that_finds_a_break_exits_with_1_and_names_it(commands: Commands) -> None:
    import_sample(commands)
    with commands.worker():
        commands.ok("run", "--wait", "--batch-id", "to-break")
    with psycopg.connect(commands.database_url) as connection:
        connection.execute(
            "UPDATE fund_platform.accounts SET balance_minor = balance_minor + 1 WHERE balance_minor > 0"
        )
    finished = commands.run("audit")
    assert finished.returncode == 1
    assert "balance_off" in finished.stdout


def test_with_nothing_overdue_a_run_opens_no_batch(commands: Commands) -> None:
    assert "Nothing is overdue" in commands.ok("run", "--wait")
    assert json.loads(commands.ok("batches", "--json")) == {"batches": [], "reports": {}}
    assert json.loads(commands.ok("audit", "--json"))["orders"] == 0


def test_a_started_batch_is_known_before_any_worker_runs(commands: Commands) -> None:
    import_sample(commands)
    commands.ok("run", "--batch-id", "early")
    assert json.loads(commands.ok("status", "early", "--json"))["batch"]["state"] == "open"
    with commands.worker():
        assert "Balanced" in commands.ok("run", "--wait", "--batch-id", "early")


def test_migrating_twice_is_harmless_and_brings_an_empty_database_up_to_date(commands: Commands) -> None:
    with psycopg.connect(commands.database_url) as connection:
        connection.execute("DROP SCHEMA settlement CASCADE")
    assert "0001.batches" in commands.ok("migrate")
    assert "settlement: up to date" in commands.ok("migrate")


def test_a_batch_id_that_looks_like_markup_ends_no_command(commands: Commands) -> None:
    """Commands refuse such an id, but whoever reaches Temporal or PostgreSQL can make one."""
    with psycopg.connect(commands.database_url) as connection:
        connection.execute(
            "INSERT INTO settlement.batches (batch_id, source, state, chunk_size, window_size) "
            "VALUES ('[/nope]', 'kafka', 'open', 10, 1)"
        )
    assert "[/nope]" in commands.ok("batches")
    assert "[/nope] is open" in commands.ok("status", "[/nope]")
    assert "Batch [/nope] is open" in commands.ok("report", "[/nope]")


async def test_waiting_without_a_worker_says_so_and_goes_on_once_there_is_one(commands: Commands) -> None:
    import_sample(commands)
    log_file = commands.directory / "run.log"
    with commands.running("run", program=[SETTLE, "run", "--wait", "--batch-id", "no-worker-yet"]) as waiting:

        async def is_told() -> bool:
            return "No worker serves the task queue" in log_file.read_text()

        await eventually(is_told)
        with commands.worker():
            assert await asyncio.to_thread(waiting.wait, COMMAND_TIMEOUT_S) == 0
    assert "Balanced" in log_file.read_text()


def test_a_batch_that_temporal_alone_knows_as_ended_is_explained_in_a_sentence(commands: Commands) -> None:
    """PostgreSQL was restored from an older copy. The run joins the ended workflow, whose batch has no report."""
    import_sample(commands)
    with commands.worker():
        commands.ok("run", "--wait", "--batch-id", "ended-in-temporal")
    with psycopg.connect(commands.database_url) as connection:
        connection.execute(EMPTY_SETTLEMENT_STORE)
        connection.execute("TRUNCATE order_center.orders, order_center.unacknowledged_orders")
    commands.ok("import", "orders.csv")
    finished = commands.run("run", "--wait", "--batch-id", "ended-in-temporal")
    assert finished.returncode == 1
    assert "Temporal reports batch ended-in-temporal as ended, but PostgreSQL does not" in finished.stderr
    assert "Traceback" not in finished.stderr
    with commands.worker():
        commands.ok("watch", "ended-in-temporal")
    assert json.loads(commands.ok("report", "ended-in-temporal", "--json"))["balanced"]
