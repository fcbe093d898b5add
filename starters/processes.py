"""What the long-running commands share: the log, settings on migrated databases, the end by a signal."""

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine
from typing import Any

from runtime.adapters import require_migrated
from runtime.logs import configure_logs
from runtime.settings import Settings, load_settings
from starters.console import run_command

_log = logging.getLogger(__name__)


def run_process(serve: Callable[[Settings, asyncio.Event], Coroutine[Any, Any, None]]) -> None:
    """Serve until SIGINT or SIGTERM sets the event. Logs go to stderr, one JSON object a line; plain at a terminal."""
    configure_logs()
    run_command(_run(serve))


async def _run(serve: Callable[[Settings, asyncio.Event], Coroutine[Any, Any, None]]) -> None:
    settings = load_settings()
    for notice in await require_migrated(settings):
        _log.warning(notice)
    stop = asyncio.Event()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signal_number, stop.set)
    await serve(settings, stop)
