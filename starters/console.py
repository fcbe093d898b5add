"""What all commands share at the terminal: running, failing with a sentence, printing."""

import asyncio
from collections.abc import Coroutine
from typing import Annotated, Any, TypeVar

import asyncpg
import typer
from pydantic import BaseModel
from rich.console import Console

from domain.errors import SettleError, UnavailableError

EXIT_BAD_OUTCOME = 1
EXIT_WRONG_CALL = 2
EXIT_UNREACHABLE = 3

Result = TypeVar("Result")

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
BatchArgument = Annotated[str, typer.Argument(metavar="BATCH", help="The batch's id; see: settle batches")]

out = Console()
err = Console(stderr=True)


def run_command(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Run a command's work; an error becomes a sentence on stderr and the exit code that the docs promise."""
    try:
        return asyncio.run(coroutine)
    except (UnavailableError, OSError, asyncpg.PostgresConnectionError) as error:
        raise fail(str(error), EXIT_UNREACHABLE) from error
    except SettleError as error:
        raise fail(str(error), EXIT_WRONG_CALL) from error


def fail(sentence: str, exit_code: int) -> typer.Exit:
    """Print a sentence on stderr; raise what is returned."""
    typer.echo(f"settle: {sentence}", err=True)
    return typer.Exit(exit_code)


def print_json(model: BaseModel) -> None:
    """Print one JSON object on stdout."""
    typer.echo(model.model_dump_json(indent=2))
