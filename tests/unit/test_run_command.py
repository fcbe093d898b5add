"""After an error that names the unreachable server, a command ends even if other work still hangs."""

import asyncio
import threading
import time

import pytest
import typer

from domain.errors import UnavailableError
from starters.console import run_command
from starters.exit_codes import EXIT_UNREACHABLE

HANG_S = 120


def test_a_host_that_is_looked_up_for_ever_does_not_keep_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    answered = threading.Event()
    began = time.monotonic()

    async def look_up() -> None:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.to_thread(answered.wait, HANG_S)
        except TimeoutError as error:
            raise UnavailableError("Could not connect.") from error

    try:
        with pytest.raises(typer.Exit) as stopped:
            run_command(look_up())
        assert time.monotonic() - began < HANG_S
    finally:
        answered.set()
    assert stopped.value.exit_code == EXIT_UNREACHABLE
    assert capsys.readouterr().err == "settle: Could not connect.\n"
