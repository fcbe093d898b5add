"""Liveness and readiness of a long-running process over HTTP, for whoever starts and restarts it."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus

from aiohttp import web

from database.failures import describe_failure
from domain import limits
from domain.errors import UnavailableError

# By what is needed, a call that fails with a sentence while it cannot be reached.
Checks = Mapping[str, Callable[[], Awaitable[object]]]


@asynccontextmanager
async def serving_health(port: int | None, checks: Checks, stop: asyncio.Event) -> AsyncIterator[None]:
    """Answer on a port while the body runs; without a port do nothing.

    `GET /livez` answers 200 as long as the process's event loop turns. `GET /readyz` answers 200 if all that is needed
    has answered lately and `stop` is not set, else 503; in both cases a JSON object says so.

    Raises:
        UnavailableError: the port cannot be listened on.
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
            f"Could not listen on port {port}: {error.strerror or error}. Give SETTLE_HEALTH_PORT another one, or none."
        ) from error


async def _answer_live(_: web.Request) -> web.Response:
    return web.json_response({"live": True})


class Readiness:
    """Looks again and again whether what is needed answers, and remembers."""

    def __init__(self, checks: Checks, stop: asyncio.Event) -> None:
        self._checks = checks
        self._stop = stop
        self._answered_at_s: dict[str, float] = {}
        self._failures: dict[str, str] = {}

    async def look_forever(self) -> None:
        """Look at everything that is needed, each on its own, until cancelled."""
        await asyncio.gather(*(self._look_forever(name) for name in self._checks))

    async def _look_forever(self, name: str) -> None:
        while True:
            try:
                async with asyncio.timeout(limits.HEALTH_CHECK_TIMEOUT_S):
                    await self._checks[name]()
            except Exception as error:  # noqa: BLE001 (whatever it is, it is told to who asks)
                self._failures[name] = describe_failure(error, limits.HEALTH_CHECK_TIMEOUT_S)
            else:
                self._answered_at_s[name] = time.monotonic()
            await asyncio.sleep(limits.HEALTH_CHECK_INTERVAL_S)

    async def answer(self, _: web.Request) -> web.Response:
        """Whether the process can do its work."""
        reasons = ["The process is shutting down."] if self._stop.is_set() else self._find_reasons()
        if reasons:
            return web.json_response(
                {"ready": False, "reason": " ".join(reasons)}, status=HTTPStatus.SERVICE_UNAVAILABLE
            )
        return web.json_response({"ready": True})

    def _find_reasons(self) -> list[str]:
        """A sentence for each thing that has not answered lately."""
        now_s = time.monotonic()
        return [
            f"{name} has not answered lately: {self._failures.get(name, 'it was asked for the first time')}."
            for name in self._checks
            if now_s - self._answered_at_s.get(name, -limits.HEALTH_FRESH_S) >= limits.HEALTH_FRESH_S
        ]
