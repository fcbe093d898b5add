"""`settle`: the commands, tied together."""

import os
import sys

import typer

from starters import (
    account,
    audit,
    batches,
    control,
    dlq,
    import_orders,
    intake,
    migrate,
    order,
    prune,
    relay,
    report,
    rerun,
    run,
    sample,
    schedule,
    stack,
    worker,
)

app = typer.Typer(
    name="settle",
    help="Settle overdue orders durably: every credit paid once, proved by control totals.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

app.add_typer(stack.app, name="stack", help="The embedded stack: Temporal, PostgreSQL and a Kafka broker.")
app.command()(migrate.migrate)
app.command()(worker.worker)
app.command()(intake.intake)
app.command()(relay.relay)
app.command()(sample.sample)
app.command("import")(import_orders.import_orders)
app.add_typer(account.app, name="account", help="The embedded Fund Platform's accounts.")
app.command()(run.run)
app.command()(rerun.rerun)
app.add_typer(schedule.app, name="schedule", help="The daily schedule.")
app.command()(batches.batches)
app.command()(batches.status)
app.command()(batches.watch)
app.command()(control.pause)
app.command()(control.resume)
app.command()(control.abort)
app.command()(control.window)
app.command()(order.order)
app.command()(report.report)
app.command("audit")(audit.audit_command)
app.add_typer(dlq.app, name="dlq", help="The dead-letter topic: what could not be taken in from Kafka.")
app.command()(prune.prune)


def main() -> None:
    """The console script.

    It leaves without finalizing the interpreter: a native thread of the Temporal SDK that is just returning to
    Python then would abort the process (PyGILState_Release), and with it the exit code.
    """
    try:
        app()
    except SystemExit as stopped:
        exit_code = stopped.code
    else:
        exit_code = 0
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code if isinstance(exit_code, int) else int(exit_code is not None))
