"""Decide which failures isolate items and which are retried.

A port defines how its calls fail (`DataError` and the other errors of `domain.errors`). Any other error from a call is
a bug on the way to the system or back. The effect of that call is unknown, so it counts as unanswered, and no item is
isolated for it. If pure code raises an error while it processes the values of items, these items trigger a bug. They
are isolated.
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
    """Pass on the errors that a port defines. Log any other error as a bug and raise it as `UnansweredError`."""
    try:
        yield
    except SettleError:
        raise
    except Exception as error:
        _log.exception("an adapter raised an error that its port does not define", extra={"system": system})
        raise UnansweredError(
            f"{system}'s adapter raised an error that its port does not define: {describe(error)}"
        ) from error


@contextmanager
def over_items(items: ItemRange) -> Iterator[None]:
    """Raise every error of the block as a `ChunkDataError` of these items. The block is pure code over their values."""
    try:
        yield
    except Exception as error:
        raise ChunkDataError(describe(error), *items) from error


def storable(text: str) -> str:
    """Return the text in a form that PostgreSQL can store and Temporal can send: bounded, valid UTF-8, without NUL."""
    cut = text[: limits.EXCEPTION_DETAIL_LENGTH_MAX]
    return cut.encode(errors="replace").decode().replace("\0", "?")


def describe(error: Exception) -> str:
    """Return an error as one line: the text of Settle's own errors, the type and text of any other."""
    text = " ".join(str(error).split())
    if isinstance(error, SettleError) and text:
        return storable(text)
    return storable(f"{type(error).__name__}: {text}" if text else type(error).__name__)
