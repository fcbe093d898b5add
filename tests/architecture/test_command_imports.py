"""A command imports only the modules that it needs, because imports take most of a short command's time."""

import subprocess
import sys

WITHOUT_CLIENTS = ["stack", "sample", "account", "batches", "status", "watch", "order", "report", "audit", "prune"]
IMPORT = "import sys; from starters.cli import build_app; build_app(sys.argv[1:]); print(*sys.modules)"


def test_commands_on_the_databases_alone_import_no_client_of_temporal_or_kafka() -> None:
    call = [sys.executable, "-c", IMPORT, *WITHOUT_CLIENTS]
    imported = set(subprocess.run(call, capture_output=True, text=True, check=True).stdout.split())
    assert "asyncpg" in imported
    assert imported & {"aiokafka", "temporalio"} == set()
