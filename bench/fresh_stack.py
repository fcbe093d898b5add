"""An embedded stack of a measurement's own, fresh and empty each time."""

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
    """Bring up an empty stack in `directory`, migrated, found by the commands run from here; `keep` leaves it up."""
    stack = LocalStack(directory / "stack")
    stack.down()
    shutil.rmtree(directory, ignore_errors=True)
    say("Starting an embedded stack of its own: Temporal, PostgreSQL, Kafka broker.")
    stack.up()
    _point_commands_at(directory / "stack")
    try:
        run_settle("migrate")
        yield load_settings()
    finally:
        if keep:
            say(f"The stack is left up; stop it with: settle stack down --dir {directory}/stack")
        else:
            stack.down()


def _point_commands_at(stack_dir: Path) -> None:
    """Make this process and its children use the stack alone, whatever servers the user's shell points at."""
    forget_servers_of_the_shell()
    os.environ["SETTLE_STACK_DIR"] = str(stack_dir)
    os.environ["TEMPORAL_CONFIG_FILE"] = str(stack_dir / "no-temporal-config.toml")


def forget_servers_of_the_shell() -> None:
    """Make this process and its children know no server."""
    for name in [name for name in os.environ if name.startswith(("SETTLE_", "TEMPORAL_", "KAFKA_"))]:
        del os.environ[name]


def run_settle(*arguments: str, check: bool = True) -> str:
    """Run a command as a user would, show what it says, and return its stdout."""
    say(f"$ settle {' '.join(arguments)}")
    finished = subprocess.run([SETTLE, *arguments], stdout=subprocess.PIPE, text=True, check=check)
    if "--json" not in arguments:
        print(finished.stdout, end="", flush=True)
    return finished.stdout


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)
