"""`settle`: the commands, tied together."""

import os
import sys
from collections.abc import Iterable
from importlib import import_module

import typer

# By name, where in this room a command or a group of them is.
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
    """The app with some of the commands, whose modules are imported now."""
    app = typer.Typer(
        name="settle",
        help="Settle overdue orders durably: every credit paid once, proved by control totals.",
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
    """Typer would take an app with one command for that command."""


def main() -> None:
    """The console script.

    It imports no command but the one that is called: importing all of them takes longer than most take to run.

    It leaves without finalizing the interpreter: a native thread of the Temporal SDK that is just returning to
    Python then would abort the process (PyGILState_Release), and with it the exit code.
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
