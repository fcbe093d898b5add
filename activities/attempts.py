"""What every activity attempt does around its work: heartbeat, and tell Temporal which errors are final."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError

from domain import limits
from domain.errors import ChunkUnfinishedError, SettleError, TooManyBatchesError, UnavailableError

_RETRYABLE = (ChunkUnfinishedError, TooManyBatchesError, UnavailableError)


class Heartbeat:
    """The attempt's heartbeat; it repeats the details told last."""

    def __init__(self) -> None:
        self._details: Sequence[Any] = activity.info().heartbeat_details

    @property
    def details_of_last_attempt(self) -> Sequence[Any]:
        """What an earlier attempt of this activity told last; empty for the first one."""
        return activity.info().heartbeat_details

    def tell(self, *details: Any) -> None:
        """Heartbeat now, with details for the next attempt."""
        self._details = details
        self.beat()

    def beat(self) -> None:
        """Heartbeat now."""
        activity.heartbeat(*self._details)


@asynccontextmanager
async def attempt() -> AsyncIterator[Heartbeat]:
    """Heartbeat while the body waits for a database, and raise Settle's own final errors as non-retryable.

    The heartbeat says that the worker lives. A statement that hangs is ended by its own timeouts.
    """
    heartbeat = Heartbeat()
    beats = asyncio.create_task(_beat_forever(heartbeat))
    try:
        yield heartbeat
    except _RETRYABLE:
        raise
    except SettleError as error:
        raise ApplicationError(str(error), type=type(error).__name__, non_retryable=True) from error
    finally:
        beats.cancel()
        with suppress(asyncio.CancelledError):
            await beats


async def _beat_forever(heartbeat: Heartbeat) -> None:
    """Beat after each interval: an activity that is over by then asks the server nothing."""
    while True:
        await asyncio.sleep(limits.HEARTBEAT_INTERVAL_S)
        heartbeat.beat()
