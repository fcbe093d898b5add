"""A worker logs one JSON object per line, or plain text at a terminal, and never a password."""

import json
import os
import pty
import subprocess
from urllib.parse import urlsplit, urlunsplit

from tests.e2e.conftest import COMMAND_TIMEOUT_S, SETTLE, Commands

PASSWORD = "hunter2"  # noqa: S105 (the embedded PostgreSQL asks for none)


def with_password(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"postgres:{PASSWORD}@"))


def test_every_line_is_json_and_names_batch_chunk_and_attempt(commands: Commands) -> None:
    commands.ok("sample", "orders.csv", "--orders", "20", "--seed", "7")
    commands.ok("import", "orders.csv")
    commands.environment["SETTLE_DATABASE_URL"] = with_password(commands.database_url)
    with commands.patient_worker():
        commands.ok("run", "--wait", "--batch-id", "logged", "--chunk-size", "10")
    log = (commands.directory / "worker.log").read_text()
    assert PASSWORD not in log
    events = [json.loads(line) for line in log.splitlines()]
    said = [event["event"] for event in events]
    assert said[0] == "worker serves the task queue"
    assert said[-2:] == ["worker is shutting down", "worker has stopped"]
    assert events[0]["task_queue"] == commands.environment["SETTLE_TASK_QUEUE"]
    assert events[0]["temporal"] == commands.environment["TEMPORAL_ADDRESS"]
    done = [event for event in events if event["event"] == "activity attempt done"]
    assert {event["batch_id"] for event in done} == {"logged"}
    assert {event["attempt"] for event in done} == {1}
    assert sorted((event["activity"], event.get("chunk_index")) for event in done if "chunk_index" in event) == [
        ("settle_chunk", 0),
        ("settle_chunk", 1),
    ]
    assert {event["activity"] for event in done if "chunk_index" not in event} == {"prepare_batch", "close_batch"}
    assert all(event["elapsed_s"] >= 0 and event["timestamp"] and event["level"] == "info" for event in done)


def test_at_a_terminal_the_log_is_plain_text(commands: Commands) -> None:
    terminal, worker_side = pty.openpty()
    worker = subprocess.Popen([SETTLE, "worker"], env=os.environ | commands.environment, stderr=worker_side)
    os.close(worker_side)
    said = b""
    try:
        while b"serves the task queue" not in said:
            said += os.read(terminal, 4096)
    finally:
        worker.terminate()
        assert worker.wait(COMMAND_TIMEOUT_S) == 0
        os.close(terminal)
    assert b"{" not in said
    assert b"\x1b" not in said
    assert b"[info" in said
