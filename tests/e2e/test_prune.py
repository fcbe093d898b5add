"""`settle prune` does not change what reports, the audit and later runs say."""

import json
import os
import subprocess
import time
from typing import Any

import psycopg
import pytest

from tests.e2e.conftest import SETTLE, Commands

ORDER_COUNT = 300
DEADLINE_S = 180  # only to detect a hang
POLL_INTERVAL_S = 0.02


def old_batch_id(commands: Commands) -> str:
    """A unique batch id, because all tests share Temporal."""
    return f"old-{commands.environment['SETTLE_TASK_QUEUE'][:60]}"


def settle_sample(commands: Commands) -> None:
    """Make two closed batches past their retention. The second is a rerun of the orders that the first rejected."""
    batch_id = old_batch_id(commands)
    commands.ok("sample", "orders.csv", "--orders", str(ORDER_COUNT), "--seed", "7", "--bad-rate", "0.2")
    commands.ok("import", "orders.csv")
    with commands.worker():
        commands.ok("run", "--wait", "--batch-id", batch_id, "--chunk-size", "20")
        commands.ok("rerun", batch_id, "--wait")
    make_old(commands)


def make_old(commands: Commands) -> None:
    with psycopg.connect(commands.database_url) as connection:
        connection.execute("UPDATE settlement.batches SET closed_at = closed_at - interval '2 days'")
        connection.execute("DELETE FROM settlement.outbox")  # as if relays had delivered everything


def rows_of(commands: Commands, table: str) -> int:
    with psycopg.connect(commands.database_url) as connection:
        row = connection.execute(f"SELECT count(*) FROM settlement.{table}").fetchone()
    assert row
    return int(row[0])


def being_pruned_count(commands: Commands) -> int:
    return rows_of(commands, "kept_reports WHERE pruning_began_at IS NOT NULL")


def said_of(commands: Commands) -> dict[str, Any]:
    """Return everything that the commands report of the orders and batches."""
    rejected = json.loads(commands.ok("batches", "--json"))["batches"]
    reports = [json.loads(commands.ok("report", batch["batch_id"], "--json")) for batch in rejected]
    for report in reports:
        del report["since_closing"]["pruned_at"]
    return {
        "audit": json.loads(commands.ok("audit", "--json")),
        "reports": reports,
        "statuses": [json.loads(commands.ok("status", batch["batch_id"], "--json")) for batch in rejected],
    }


@pytest.fixture
def old(commands: Commands) -> Commands:
    commands.environment["SETTLE_RETENTION_DAYS"] = "1"
    settle_sample(commands)
    return commands


def test_nothing_that_is_said_changes_and_orders_are_not_settled_again(old: Commands) -> None:
    before = said_of(old)
    assert before["audit"]["orders"] == ORDER_COUNT
    told = old.ok("prune")
    assert f"Batch {old_batch_id(old)}, closed " in told
    assert f"Pruned {ORDER_COUNT + before['audit']['rejected']['order_count']:,} items" in told
    assert said_of(old) == before
    assert [rows_of(old, table) for table in ("items", "chunk_states", "exception_items")] == [0, 0, 0]
    assert "Pruned 0 items" in old.ok("prune")

    refused = old.run("rerun", old_batch_id(old))
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "is pruned" in refused.stderr
    with psycopg.connect(old.database_url) as connection:
        connection.execute("UPDATE order_center.orders SET version = nextval('order_center.order_versions')")
        connection.execute(
            "INSERT INTO order_center.unacknowledged_orders SELECT order_id, after_sale_ends_at, version "
            "FROM order_center.orders"
        )
    with old.worker():
        old.ok("run", "--wait", "--batch-id", f"again-{old_batch_id(old)}")
    report = json.loads(old.ok("report", f"again-{old_batch_id(old)}", "--json"))
    audit = json.loads(old.ok("audit", "--json"))
    settled_count = before["audit"]["settled"]["order_count"]
    assert (report["duplicates"], report["conflicts"]) == (settled_count, 0)
    assert report["planned"]["order_count"] == ORDER_COUNT - settled_count
    assert (audit["ok"], audit["orders"], audit["ledger"]) == (True, ORDER_COUNT, before["audit"]["ledger"])


def test_a_prune_killed_in_a_step_loses_nothing_and_is_finished_by_the_next(old: Commands) -> None:
    before = said_of(old)
    with psycopg.connect(old.database_url) as connection:
        # The second batch's row is locked, so its first step waits. By then the first batch is pruned.
        connection.execute("SELECT FROM settlement.batches WHERE batch_id <> %s FOR NO KEY UPDATE", [old_batch_id(old)])
        prune = subprocess.Popen(
            [SETTLE, "prune"],
            env=os.environ | old.environment,
            cwd=old.directory,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + DEADLINE_S
        while being_pruned_count(old) < 2 and time.monotonic() < deadline:
            time.sleep(POLL_INTERVAL_S)
        prune.kill()
        assert prune.wait(DEADLINE_S) < 0
    assert being_pruned_count(old) == 2
    assert rows_of(old, "items") == before["audit"]["rejected"]["order_count"]
    assert said_of(old) == before
    old.ok("prune")
    assert rows_of(old, "items") == 0
    assert said_of(old) == before


def test_batches_with_held_orders_and_younger_ones_keep_their_items(commands: Commands) -> None:
    settle_sample(commands)
    assert "Pruned 0 items" in commands.ok("prune")
    with psycopg.connect(commands.database_url) as connection:
        connection.execute(
            "INSERT INTO settlement.exception_items (batch_no, item_no, outcome, reason_code) "
            "SELECT batch_no, item_no, 'held', 'PAYLOAD_CONFLICT' FROM settlement.claims "
            "WHERE is_held ORDER BY order_id LIMIT 1"
        )
    told = commands.run("prune", SETTLE_RETENTION_DAYS="1")
    assert told.returncode == 0
    batch_id = old_batch_id(commands)
    assert (
        f"Batch {batch_id} keeps its items: some are held and wait for a person (1). Run: settle rerun" in told.stdout
    )
    assert rows_of(commands, "items") == ORDER_COUNT


def test_a_batch_that_does_not_balance_is_not_pruned_and_the_exit_code_says_so(old: Commands) -> None:
    with psycopg.connect(old.database_url) as connection:
        connection.execute("UPDATE settlement.planned_totals SET order_count = order_count + 1")
    told = old.run("prune")
    assert told.returncode == 1
    assert "it no longer balances" in told.stdout
    assert being_pruned_count(old) == 0
