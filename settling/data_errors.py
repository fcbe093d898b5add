"""Errors of the data, which come again until someone repairs them, and errors of the world, which pass.

What cannot be told for sure is the world's: it is tried again, and never isolated.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from domain import limits
from domain.errors import ChunkDataError, InvariantViolationError
from schemas.isolation import ItemRange

# What code raises over values that it cannot handle; a server that is away raises none of these but OSErrors.
_DATA_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    InvariantViolationError,
    LookupError,
    TypeError,
    ValueError,
)
# PostgreSQL's classes of SQLSTATE: data exception, integrity constraint violation, raised by a function.
_DATA_SQLSTATE_CLASSES = ("22", "23", "P0")


def is_data_error(error: BaseException) -> bool:
    """Whether an error comes again as long as the data, or the code that handles them, stay as they are."""
    sqlstate = getattr(error, "sqlstate", None)
    if isinstance(sqlstate, str):
        return sqlstate.startswith(_DATA_SQLSTATE_CLASSES)
    return isinstance(error, _DATA_ERRORS) and not isinstance(error, OSError)


@contextmanager
def data_errors_of(items: ItemRange) -> Iterator[None]:
    """Raise an error of the data of these items as `ChunkDataError`; errors of the world pass as they are."""
    try:
        yield
    except Exception as error:
        if not is_data_error(error):
            raise
        raise ChunkDataError(describe(error), *items) from error


def storable(text: str) -> str:
    """The text as PostgreSQL can store it and Temporal send it: of bounded length, and UTF-8 without NUL."""
    cut = text[: limits.EXCEPTION_DETAIL_LENGTH_MAX]
    return cut.encode(errors="replace").decode().replace("\0", "?")


def describe(error: Exception) -> str:
    """An error's kind and text, on one line."""
    said = " ".join(str(error).split())
    return storable(f"{type(error).__name__}: {said}" if said else type(error).__name__)
