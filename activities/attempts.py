"""What an activity attempt does around its work: heartbeat, log how it ended, tell Temporal which errors are final."""

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

# A `DataError` that nothing isolates is of Settle's own rows: it is tried again until somebody has repaired them.
_RETRYABLE = (ChunkUnfinishedError, DataError, TooManyBatchesError, UnansweredError, UnavailableError)
# Their text says all; any other error is logged with where it came from.
_EXPECTED = (SettleError, asyncio.CancelledError)

_log = logging.getLogger(__name__)


class Heartbeat:
    """The attempt's heartbeat; it repeats its last details."""

    def __init__(self) -> None:
        self._details: Sequence[Any] = activity.info().heartbeat_details

    @property
    def details_of_last_attempt(self) -> Sequence[Any]:
        """The last details of an earlier attempt of this activity; empty for the first one."""
        return activity.info().heartbeat_details

    def beat_with(self, *details: Any) -> None:
        """Heartbeat now, with details for the next attempt."""
        self._details = details
        self.beat()

    def beat(self) -> None:
        """Heartbeat now; a local activity has no one to tell, its workflow task has a timeout instead."""
        if not activity.info().is_local:
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
        is_final = (
            isinstance(error, SettleError)
            and not isinstance(error, _RETRYABLE)
            and not activity.info().is_local  # the workflow goes on with other activities
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
    """Let attempts that get no answer from the Fund Platform be tried again for this long, counted from the first one.

    The time is in the heartbeat's details. What fails for another reason in between begins the count anew: then the
    Fund Platform was not asked, or has answered.

    Raises:
        UnansweredForTooLongError: there was no answer in all that time.
    """
    details = heartbeat.details_of_last_attempt
    unanswered_since_s = details[0] if details else time.time()
    try:
        yield
    except CreditsUnansweredError as error:
        if time.time() - unanswered_since_s >= deadline_s:
            raise UnansweredForTooLongError(
                f"Asked again for {deadline_s:,.0f} s without an answer. {error}"
            ) from error
        heartbeat.beat_with(unanswered_since_s)
        raise
    except Exception:
        heartbeat.beat_with()
        raise


def _origin(error: BaseException) -> BaseException:
    """The error that Settle only passes on: a bug that a chunk's items meet."""
    return error.__cause__ if isinstance(error, ChunkDataError) and error.__cause__ else error


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
