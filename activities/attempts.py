"""What an activity attempt does around its work: heartbeat, log how it ended, tell Temporal which errors are final."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError

from domain import limits
from domain.errors import ChunkUnfinishedError, SettleError, TooManyBatchesError, UnavailableError

_RETRYABLE = (ChunkUnfinishedError, TooManyBatchesError, UnavailableError)
# Their text says all; any other error is logged with where it came from.
_EXPECTED = (SettleError, OSError, asyncio.CancelledError)

_log = logging.getLogger(__name__)


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
async def attempt(batch_id: str, chunk_index: int | None = None) -> AsyncIterator[Heartbeat]:
    """Heartbeat while the body waits for a database, log how it ended, and raise Settle's own final errors as final.

    The heartbeat says that the worker lives. A statement that hangs is ended by its own timeouts.

    Args:
        batch_id: the batch that the attempt works on, for the log.
        chunk_index: the chunk, if it works on one.
    """
    heartbeat = Heartbeat()
    started_s = time.monotonic()
    beats = asyncio.create_task(_beat_forever(heartbeat))
    try:
        yield heartbeat
    except BaseException as error:
        is_final = isinstance(error, SettleError) and not isinstance(error, _RETRYABLE)
        _log.warning(
            "activity attempt failed",
            exc_info=not isinstance(error, _EXPECTED),
            extra=_fields(batch_id, chunk_index, started_s)
            | {"error": str(error) or type(error).__name__, "will_be_tried_again": not is_final},
        )
        if is_final:
            raise ApplicationError(str(error), type=type(error).__name__, non_retryable=True) from error
        raise
    else:
        _log.info("activity attempt done", extra=_fields(batch_id, chunk_index, started_s))
    finally:
        beats.cancel()
        with suppress(asyncio.CancelledError):
            await beats


def _fields(batch_id: str, chunk_index: int | None, started_s: float) -> dict[str, Any]:
    """What every line about an attempt says of it."""
    info = activity.info()
    return {
        "activity": info.activity_type,
        "batch_id": batch_id,
        **({} if chunk_index is None else {"chunk_index": chunk_index}),
        "attempt": info.attempt,
        "elapsed_s": round(time.monotonic() - started_s, 3),
    }


async def _beat_forever(heartbeat: Heartbeat) -> None:
    """Beat after each interval: an activity that is over by then asks the server nothing."""
    while True:
        await asyncio.sleep(limits.HEARTBEAT_INTERVAL_S)
        heartbeat.beat()
