"""What every activity attempt does around its work: heartbeat, and tell Temporal which errors are final."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from temporalio import activity
from temporalio.exceptions import ApplicationError

from domain import limits
from domain.errors import ChunkUnfinishedError, SettleError, UnavailableError

_RETRYABLE = (ChunkUnfinishedError, UnavailableError)


@asynccontextmanager
async def attempt() -> AsyncIterator[None]:
    """Heartbeat while the body waits for a database, and raise Settle's own final errors as non-retryable.

    The heartbeat says that the worker lives. A statement that hangs is ended by its own timeouts.
    """
    heartbeats = asyncio.create_task(_heartbeat_forever())
    try:
        yield
    except _RETRYABLE:
        raise
    except SettleError as error:
        raise ApplicationError(str(error), type=type(error).__name__, non_retryable=True) from error
    finally:
        heartbeats.cancel()
        with suppress(asyncio.CancelledError):
            await heartbeats


async def _heartbeat_forever() -> None:
    while True:
        activity.heartbeat(*activity.info().heartbeat_details)
        await asyncio.sleep(limits.HEARTBEAT_INTERVAL_S)
