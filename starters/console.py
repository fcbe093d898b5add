"""Shared by all commands: run their work, report an error in one sentence, print results."""

import asyncio
import logging
from collections.abc import Container, Coroutine, Mapping
from typing import Annotated, Any, TypeVar

import typer
from pydantic import BaseModel
from rich.console import Console
from rich.measure import Measurement
from rich.table import Column, Table

from domain import limits
from domain.errors import (
    DataError,
    InvariantViolationError,
    SettleError,
    TooManyBatchesError,
    UnansweredError,
    UnavailableError,
)
from runtime.adapters import require_migrated
from runtime.settings import Settings, load_settings
from schemas.wire.totals import ControlTotals
from starters.exit_codes import EXIT_BAD_OUTCOME, EXIT_UNREACHABLE, EXIT_WRONG_CALL
from starters.next_steps import word_error

Result = TypeVar("Result")

_LINE_LENGTH_MAX = 1_000
_ID_LENGTH_MAX = max(limits.BATCH_ID_LENGTH_MAX, limits.IDENTIFIER_LENGTH_MAX)

# Ids and texts from outside are shown as they are. As markup, an id such as [/x] would end the command.
out = Console(markup=False)
err = Console(stderr=True, markup=False)


class _CommandLoop(asyncio.SelectorEventLoop):
    """An event loop that does not wait for its threads at the end: looking up a host name may block one for long."""

    async def shutdown_default_executor(self) -> None:
        """Return immediately; the process is about to end."""


def run_command(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Run a command's work. An error becomes one sentence on stderr and the documented exit code."""
    # Keeps the Kafka client's log off a command's stderr, which gets one sentence. Processes have their own handlers.
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())
    try:
        with asyncio.Runner(loop_factory=_CommandLoop) as runner:
            return runner.run(coroutine)
    except SettleError as error:
        raise fail(word_error(error), _exit_code_of(error)) from error
    except Exception as error:
        # Imported late: it imports the clients of Temporal and Kafka, which takes longer than most commands run.
        from starters.failures import describe_unreachable

        sentence = describe_unreachable(error)
        if not sentence:
            raise
        raise fail(sentence, EXIT_UNREACHABLE) from error


def _exit_code_of(error: SettleError) -> int:
    if isinstance(error, (UnavailableError, UnansweredError)):
        return EXIT_UNREACHABLE
    is_bad_outcome = isinstance(error, (DataError, InvariantViolationError, TooManyBatchesError))
    return EXIT_BAD_OUTCOME if is_bad_outcome else EXIT_WRONG_CALL


async def load_ready_settings() -> Settings:
    """Load the settings for a command that uses the databases, which must be migrated.

    Raises:
        SettingsError: a setting is malformed.
        UnavailableError: a database is not set, unreachable or not migrated.
    """
    settings = load_settings()
    for notice in await require_migrated(settings):
        print_notice(notice)
    return settings


def counted(count: int, noun: str) -> str:
    """Return a count with its noun, in the plural unless it is one."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def print_notice(sentence: str) -> None:
    """Print a sentence on stderr, to keep stdout pure for `--json`."""
    typer.echo(f"settle: {sentence}", err=True)


def fail(sentence: str, exit_code: int) -> typer.Exit:
    """Print a sentence on stderr and return the exception to raise."""
    print_notice(sentence)
    return typer.Exit(exit_code)


def require_id(text: str) -> str:
    """Reject text that cannot be an id: PostgreSQL stores only UTF-8, and terminals obey control characters.

    Raises:
        typer.Exit: the text cannot be an id. The message shows it with unprintable characters escaped.
    """
    if not 0 < len(text) <= _ID_LENGTH_MAX or not text.isprintable():
        raise fail(
            f"{text[:_ID_LENGTH_MAX]!r} cannot be an id: an id has 1 to {_ID_LENGTH_MAX} printable characters. "
            "Copy the id again.",
            EXIT_WRONG_CALL,
        )
    return text


JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
BatchArgument = Annotated[
    str, typer.Argument(metavar="BATCH", help="Batch id, as listed by: settle batches", callback=require_id)
]


def print_json(model: BaseModel) -> None:
    """Print one JSON object on stdout."""
    typer.echo(model.model_dump_json(indent=2))


def print_whole(table: Table) -> None:
    """Print a table at its full width on any terminal: an id or an amount that is cut is useless."""
    width = Measurement.get(out, out.options.update(max_width=_LINE_LENGTH_MAX), table).maximum
    Console(width=width, markup=False).print(table)


def print_totals(totals: Mapping[str, ControlTotals], *, always: Container[str]) -> None:
    """Print control totals, a row for each currency.

    Args:
        totals: by name. One that is zero in all currencies is named in a line and has no column.
        always: names that have a column even if they are zero.
    """
    shown = {name: total for name, total in totals.items() if total.order_count or name in always}
    currencies = sorted({currency for total in totals.values() for currency in total.order_count_by_currency})
    counts = Table("orders", *(Column(name, justify="right") for name in shown))
    amounts = Table("minor units", *(Column(name, justify="right") for name in shown))
    for currency in currencies:
        counts.add_row(currency, *(f"{t.order_count_by_currency.get(currency, 0):,}" for t in shown.values()))
        amounts.add_row(currency, *(f"{t.amount_minor.get(currency, 0):,}" for t in shown.values()))
    counts.add_section()
    counts.add_row("all", *(f"{total.order_count:,}" for total in shown.values()))
    print_whole(counts)
    print_whole(amounts)
    zeros = [name for name in totals if name not in shown]
    if zeros:
        typer.echo(f"Zero: {', '.join(zeros)}")
