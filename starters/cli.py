"""The console script `settle`, assembled from the commands."""

import os
import sys
from collections.abc import Iterable
from importlib import import_module

import typer

# By name, the place of a command or a group of commands in this room.
COMMANDS = {
    "stack": "stack.app",
    "migrate": "migrate.migrate",
    "worker": "worker.worker",
    "intake": "intake.intake",
    "relay": "relay.relay",
    "sample": "sample.sample",
    "import": "import_orders.import_orders",
    "account": "account.app",
    "run": "run.run",
    "rerun": "rerun.rerun",
    "schedule": "schedule.app",
    "batches": "batches.batches",
    "status": "batches.status",
    "watch": "batches.watch",
    "pause": "operator_actions.pause",
    "resume": "operator_actions.resume",
    "abort": "operator_actions.abort",
    "window": "operator_actions.window",
    "order": "order.order",
    "report": "report.report",
    "audit": "audit.audit_command",
    "dlq": "dlq.app",
    "prune": "prune.prune",
}


def build_app(names: Iterable[str] = COMMANDS) -> typer.Typer:
    """Build the app with some of the commands, and import their modules."""
    app = typer.Typer(
        name="settle",
        help="Settle orders after their after-sale period: each credit is paid once, proved by control totals.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )
    app.callback()(_be_a_group)
    for name in names:
        module_name, _, attribute = COMMANDS[name].partition(".")
        command = getattr(import_module(f"starters.{module_name}"), attribute)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name)(command)
    return app


def _be_a_group() -> None:
    """Make the app a group: Typer would run an app with one command as that command."""


def main() -> None:
    """Run the console script.

    It imports only the command that is called: importing all of them takes longer than most of them run.

    It exits without finalizing the interpreter. A native thread of the Temporal SDK that returns to Python during
    finalization would abort the process (PyGILState_Release) and lose the exit code.
    """
    app = build_app([name for name in sys.argv[1:2] if name in COMMANDS] or COMMANDS)
    try:
        app()
    except SystemExit as stopped:
        exit_code = stopped.code
    else:
        exit_code = 0
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code if isinstance(exit_code, int) else int(exit_code is not None))
