"""Shared by the long-running commands: the log, settings on migrated databases, stopping by a signal."""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from typing import Any, TypeAlias

from runtime.adapters import require_migrated
from runtime.garbage import collect_garbage_seldom
from runtime.logs import configure_logs
from runtime.settings import Settings, load_settings
from starters.console import run_command
from workers.health import Checks, serving_health

_log = logging.getLogger(__name__)

Serve: TypeAlias = Callable[[Settings, asyncio.Event], Coroutine[Any, Any, None]]


def run_process(serve: Serve, needs: Mapping[str, Callable[[Settings], Awaitable[object]]]) -> None:
    """Serve until SIGINT or SIGTERM sets the event.

    Logs go to stderr, one JSON object a line; at a terminal as plain text.

    Args:
        serve: the process's work.
        needs: by name, the readiness checks of what the process needs besides the databases. A check raises if it
            gets no answer.
    """
    configure_logs()
    collect_garbage_seldom()
    run_command(_run(serve, {"PostgreSQL": require_migrated, **needs}))


async def _run(serve: Serve, needs: Mapping[str, Callable[[Settings], Awaitable[object]]]) -> None:
    settings = load_settings()
    for notice in await require_migrated(settings):
        _log.warning(notice)
    stop = asyncio.Event()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signal_number, stop.set)
    checks: Checks = {name: partial(check, settings) for name, check in needs.items()}
    async with serving_health(settings.health_port, checks, stop):
        await serve(settings, stop)
