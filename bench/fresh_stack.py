"""An embedded stack for one measurement, empty at each start."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.settle_processes import SETTLE
from local_stack.stack import LocalStack
from runtime.settings import Settings, load_settings


@contextmanager
def fresh_stack(directory: Path, *, keep: bool = False) -> Iterator[Settings]:
    """Start an empty, migrated stack in `directory` and point this process and its child processes at it.

    Args:
        directory: its old contents are removed.
        keep: leave the stack running afterwards.
    """
    stack = LocalStack(directory / "stack")
    stack.down()
    shutil.rmtree(directory, ignore_errors=True)
    say("Starting a separate embedded stack: Temporal, PostgreSQL, Kafka broker.")
    stack.up()
    _point_commands_at(directory / "stack")
    try:
        run_settle("migrate")
        yield load_settings()
    finally:
        if keep:
            say(f"The stack is still running. Stop it with: .venv/bin/settle stack down --dir {directory}/stack")
        else:
            stack.down()


def _point_commands_at(stack_dir: Path) -> None:
    """Make this process and its children use only the stack, whatever servers the user's shell points at."""
    forget_servers_of_the_shell()
    os.environ["SETTLE_STACK_DIR"] = str(stack_dir)
    os.environ["TEMPORAL_CONFIG_FILE"] = str(stack_dir / "no-temporal-config.toml")


def forget_servers_of_the_shell() -> None:
    """Remove from this process's environment every variable that points to a server."""
    for name in [name for name in os.environ if name.startswith(("SETTLE_", "TEMPORAL_", "KAFKA_"))]:
        del os.environ[name]


def run_settle(*arguments: str, check: bool = True) -> str:
    """Run a `settle` command as a user would and return its stdout. Print it too, unless it is JSON."""
    say(f"$ settle {' '.join(arguments)}")
    finished = subprocess.run([SETTLE, *arguments], stdout=subprocess.PIPE, text=True, check=check)
    if "--json" not in arguments:
        print(finished.stdout, end="", flush=True)
    return finished.stdout


def say(line: str) -> None:
    """Print a line and flush stdout."""
    print(line, flush=True)
