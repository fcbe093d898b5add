"""The frame of every activity attempt: heartbeats, a log line for its end, and errors marked as final for Temporal."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError

from domain import limits
from domain.errors import (
    ChunkDataError,
    ChunkUnfinishedError,
    CreditsUnansweredError,
    DataError,
    SettleError,
    TooManyBatchesError,
    UnansweredError,
    UnansweredForTooLongError,
    UnavailableError,
)

# A `DataError` that nothing isolates concerns Settle's own rows. It is retried until somebody repairs them.
_RETRYABLE = (ChunkUnfinishedError, DataError, TooManyBatchesError, UnansweredError, UnavailableError)
# The text of these errors is sufficient. Any other error is logged with its traceback.
_EXPECTED = (SettleError, asyncio.CancelledError)

_log = logging.getLogger(__name__)


class Heartbeat:
    """The attempt's heartbeat. Each beat repeats the last details."""

    def __init__(self) -> None:
        self._details: Sequence[Any] = activity.info().heartbeat_details

    @property
    def details_of_last_attempt(self) -> Sequence[Any]:
        """The last details of an earlier attempt of this activity. Empty for the first attempt."""
        return activity.info().heartbeat_details

    def beat_with(self, *details: Any) -> None:
        """Send a heartbeat now, with details for the next attempt."""
        self._details = details
        self.beat()

    def beat(self) -> None:
        """Send a heartbeat now. A local activity sends none: its workflow task has a timeout instead."""
        if not activity.info().is_local:
            activity.heartbeat(*self._details)


@asynccontextmanager
async def attempt(batch_id: str, chunk_index: int | None = None) -> AsyncIterator[Heartbeat]:
    """Send heartbeats while the body runs, log how it ended, and raise Settle's own final errors as non-retryable.

    The heartbeat only shows that the worker is alive. A statement that hangs is ended by its own timeouts.

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
        is_final = (
            isinstance(error, SettleError)
            and not isinstance(error, _RETRYABLE)
            and not activity.info().is_local  # the workflow continues with other activities
        )
        _log.warning(
            "activity attempt failed",
            exc_info=not isinstance(_origin(error), _EXPECTED),
            extra=_fields(batch_id, chunk_index, started_s)
            | {"error": str(error) or type(error).__name__, "will_be_tried_again": not is_final},
        )
        if is_final:
            details = (error.item_start, error.item_end) if isinstance(error, ChunkDataError) else ()
            raise ApplicationError(str(error), *details, type=type(error).__name__, non_retryable=True) from error
        raise
    else:
        _log.info("activity attempt done", extra=_fields(batch_id, chunk_index, started_s))
    finally:
        beats.cancel()
        with suppress(asyncio.CancelledError):
            await beats


@contextmanager
def answered_within(heartbeat: Heartbeat, deadline_s: float) -> Iterator[None]:
    """Allow retries without an answer from the Fund Platform for this long, counted from the first such attempt.

    The start time is stored in the heartbeat's details. An attempt that fails for another reason restarts the count,
    because it did not call the Fund Platform or got an answer.

    Raises:
        UnansweredForTooLongError: there was no answer for that long.
    """
    details = heartbeat.details_of_last_attempt
    unanswered_since_s = details[0] if details else time.time()
    try:
        yield
    except CreditsUnansweredError as error:
        if time.time() - unanswered_since_s >= deadline_s:
            raise UnansweredForTooLongError(
                f"Settle retried for {deadline_s:,.0f} s without an answer. {error}"
            ) from error
        heartbeat.beat_with(unanswered_since_s)
        raise
    except Exception:
        heartbeat.beat_with()
        raise


def _origin(error: BaseException) -> BaseException:
    """Return the cause of a `ChunkDataError`, which is a bug that a chunk's items trigger, or else the error itself."""
    return error.__cause__ if isinstance(error, ChunkDataError) and error.__cause__ else error


def _fields(batch_id: str, chunk_index: int | None, started_s: float) -> dict[str, Any]:
    """Return the fields of every log line about an attempt."""
    info = activity.info()
    return {
        "activity": info.activity_type,
        "batch_id": batch_id,
        **({} if chunk_index is None else {"chunk_index": chunk_index}),
        "attempt": info.attempt,
        "elapsed_s": round(time.monotonic() - started_s, 3),
    }


async def _beat_forever(heartbeat: Heartbeat) -> None:
    """Send a heartbeat after each interval, so an activity that ends within the first interval sends none."""
    while True:
        await asyncio.sleep(limits.HEARTBEAT_INTERVAL_S)
        heartbeat.beat()
