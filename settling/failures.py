"""Which failures isolate items, and which are tried again.

A port says how it fails (`DataError` and the others of `domain.errors`). What else a call of it raises is a bug on the
way to the system or back: nobody knows what the call did, so it counts as unanswered, and no item is to blame. What
pure code raises over the values of items is a bug that those items meet: they are isolated.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from domain import limits
from domain.errors import ChunkDataError, SettleError, UnansweredError
from schemas.wire.isolation import ItemRange

_log = logging.getLogger(__name__)


@contextmanager
def calling(system: str) -> Iterator[None]:
    """Let a port's own failures pass; raise whatever else its call raises as `UnansweredError`, and log it as a bug."""
    try:
        yield
    except SettleError:
        raise
    except Exception as error:
        _log.exception("a call failed in a way that its port does not know", extra={"system": system})
        raise UnansweredError(
            f"{system} was called and failed in a way that its port does not know: {describe(error)}"
        ) from error


@contextmanager
def over_items(items: ItemRange) -> Iterator[None]:
    """Raise what pure code raises over the values of these items as `ChunkDataError`."""
    try:
        yield
    except Exception as error:
        raise ChunkDataError(describe(error), *items) from error


def storable(text: str) -> str:
    """The text as PostgreSQL can store it and Temporal send it: of bounded length, and UTF-8 without NUL."""
    cut = text[: limits.EXCEPTION_DETAIL_LENGTH_MAX]
    return cut.encode(errors="replace").decode().replace("\0", "?")


def describe(error: Exception) -> str:
    """An error on one line: Settle's own by its text, any other by its kind and text."""
    text = " ".join(str(error).split())
    if isinstance(error, SettleError) and text:
        return storable(text)
    return storable(f"{type(error).__name__}: {text}" if text else type(error).__name__)
