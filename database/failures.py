"""Failing to reach PostgreSQL, told in a sentence that says what to do."""

import socket

import asyncpg

from database.urls import without_password
from domain import limits
from domain.errors import UnavailableError

# The last is how the driver's pool tells of a connection that was cut while it was being given back.
CONNECT_ERRORS = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)

_ADVICE = "Check that it runs and that its URL is right."
_ADVICE_BY_ERROR: dict[type[BaseException], str] = {
    asyncpg.InvalidAuthorizationSpecificationError: "Check the user and the password in its URL.",
    asyncpg.InvalidCatalogNameError: "Create the database, or correct its name in the URL.",
    asyncpg.InsufficientPrivilegeError: "Check the role's rights.",
}


def unreachable(url: str, error: BaseException) -> UnavailableError:
    """What to raise when a connection to a database failed; no password is shown."""
    advice = next((text for kind, text in _ADVICE_BY_ERROR.items() if isinstance(error, kind)), _ADVICE)
    reason = describe_failure(error, limits.DATABASE_CONNECT_TIMEOUT_S)
    return UnavailableError(f"Could not connect to PostgreSQL at {without_password(url)}: {reason}. {advice}")


def describe_failure(error: BaseException, timeout_s: float) -> str:
    """Say in a few words, on one line, why a server could not be reached within the timeout."""
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, socket.gaierror):
        return "its host name is not known"
    said = " ".join(str(error).split()).rstrip(".")
    if isinstance(error, TimeoutError) and not said:
        return f"no answer within {timeout_s:g} s"
    return said or type(error).__name__
