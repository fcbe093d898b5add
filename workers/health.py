"""Liveness and readiness of a long-running process over HTTP, for the service that starts and restarts it."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus

from aiohttp import web

from database.failures import describe_failure
from domain import limits
from domain.errors import UnavailableError

# For each system that the process needs, by name: a call that raises an error with a sentence if it is unreachable.
Checks = Mapping[str, Callable[[], Awaitable[object]]]


@asynccontextmanager
async def serving_health(port: int | None, checks: Checks, stop: asyncio.Event) -> AsyncIterator[None]:
    """Serve health checks on a port while the body runs. Without a port do nothing.

    `GET /livez` answers 200 as long as the event loop runs. `GET /readyz` answers 200 if every check succeeded within
    the last `limits.HEALTH_FRESH_S` seconds and `stop` is not set, else 503. All answers are JSON objects.

    Raises:
        UnavailableError: the process cannot listen on the port.
    """
    if port is None:
        yield
        return
    readiness = Readiness(checks, stop)
    application = web.Application()
    application.add_routes([web.get("/livez", _answer_live), web.get("/readyz", readiness.answer)])
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=limits.HEALTH_ANSWER_S)
    await runner.setup()
    try:
        await _listen(runner, port)
        looking = asyncio.create_task(readiness.look_forever())
        try:
            yield
        finally:
            looking.cancel()
            with suppress(asyncio.CancelledError):
                await looking
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, port: int) -> None:
    try:
        await web.TCPSite(runner, port=port).start()
    except OSError as error:
        raise UnavailableError(
            f"Could not listen on port {port}: {error.strerror or error}. "
            "Set SETTLE_HEALTH_PORT to another port, or unset it."
        ) from error


async def _answer_live(_: web.Request) -> web.Response:
    return web.json_response({"live": True})


class Readiness:
    """The results of regular checks of the systems that a process needs."""

    def __init__(self, checks: Checks, stop: asyncio.Event) -> None:
        self._checks = checks
        self._stop = stop
        self._answered_at_s: dict[str, float] = {}
        self._failures: dict[str, str] = {}

    async def look_forever(self) -> None:
        """Run all checks regularly, each in its own loop, until cancelled."""
        await asyncio.gather(*(self._look_forever(name) for name in self._checks))

    async def _look_forever(self, name: str) -> None:
        while True:
            try:
                async with asyncio.timeout(limits.HEALTH_CHECK_TIMEOUT_S):
                    await self._checks[name]()
            except Exception as error:  # noqa: BLE001 (the answer reports any failure)
                self._failures[name] = describe_failure(error, limits.HEALTH_CHECK_TIMEOUT_S)
            else:
                self._answered_at_s[name] = time.monotonic()
            await asyncio.sleep(limits.HEALTH_CHECK_INTERVAL_S)

    async def answer(self, _: web.Request) -> web.Response:
        """Answer whether the process can do its work."""
        reasons = ["The process is shutting down."] if self._stop.is_set() else self._find_reasons()
        if reasons:
            return web.json_response(
                {"ready": False, "reason": " ".join(reasons)}, status=HTTPStatus.SERVICE_UNAVAILABLE
            )
        return web.json_response({"ready": True})

    def _find_reasons(self) -> list[str]:
        """Return a sentence for each system that has not answered lately."""
        now_s = time.monotonic()
        return [
            f"{name} has not answered lately: {self._failures.get(name, 'the first check is not done yet')}."
            for name in self._checks
            if now_s - self._answered_at_s.get(name, -limits.HEALTH_FRESH_S) >= limits.HEALTH_FRESH_S
        ]
