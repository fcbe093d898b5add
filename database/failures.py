"""Translation of PostgreSQL's failures into the errors of ports. No SQLSTATE or driver exception gets past it."""

import socket

import asyncpg

from database.urls import without_password
from domain import limits
from domain.errors import DataError, SettleError, UnansweredError, UnavailableError
from schemas.next_steps import MIGRATE

# The driver's pool raises the last one if a connection is lost while it is being released.
DRIVER_ERRORS = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)

# Classes of SQLSTATE: data exception, integrity constraint violation, raised by a function.
_DATA_CLASSES = ("22", "23", "P0")
# Connection exception, operator intervention: the change may still be kept, on a standby that no longer answers.
_CUT_CLASSES = ("08", "57P")
# Raised by an adapter's own code for rows that it cannot read and arguments that it cannot send.
_VALUE_ERRORS = (ArithmeticError, TypeError, ValueError)

_ADVICE = "Check that it runs and that its URL is right."
_ADVICE_BY_ERROR: dict[type[BaseException], str] = {
    asyncpg.InvalidAuthorizationSpecificationError: "Check the user and the password in its URL.",
    asyncpg.InvalidCatalogNameError: "Create the database, or correct its name in the URL.",
    asyncpg.InsufficientPrivilegeError: "Check the role's rights.",
}
_ASK_AGAIN = "Try again. If it fails again, look at its log."
_SCHEMA_ERRORS = (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError, asyncpg.UndefinedFunctionError)
_ADVICE_ON_CALLS: dict[type[BaseException], str] = {
    asyncpg.ReadOnlySQLTransactionError: "It is read-only. Check that its URL names the primary.",
    asyncpg.DiskFullError: "Make room on its disk.",
    **dict.fromkeys(_SCHEMA_ERRORS, "Its schema has another version."),
    **_ADVICE_BY_ERROR,
}


def unreachable(url: str, error: BaseException) -> UnavailableError:
    """Return the error for a failed connection to a database. It never shows the password."""
    reason = describe_failure(error, limits.DATABASE_CONNECT_TIMEOUT_S)
    advice = _advice_on(error, _ADVICE_BY_ERROR, _ADVICE)
    return UnavailableError(f"Could not connect to PostgreSQL at {without_password(url)}: {reason}. {advice}")


def unavailable(name: str, error: BaseException) -> UnavailableError:
    """Return the port's error for a call that had no effect and may succeed later."""
    advice = _advice_on(error, _ADVICE_ON_CALLS, _ASK_AGAIN)
    return UnavailableError(
        f"{name} could not process a request: {_reason_of(error)}. The request had no effect. {advice}",
        MIGRATE if isinstance(error, _SCHEMA_ERRORS) else None,
    )


def failure_without_effect(error: Exception, name: str) -> SettleError | None:
    """Return the port's error for a call that certainly had no effect.

    Args:
        error: the exception that a driver or an adapter raised before there could be an effect.
        name: the database's name at the start of a sentence.

    Returns:
        The port's error. None if `error` is one of Settle's own or a bug, and must pass unchanged.
    """
    if isinstance(error, SettleError):
        return None
    if _is_of_data(error) or (isinstance(error, _VALUE_ERRORS) and not isinstance(error, OSError)):
        return _data_error(name, error)
    return unavailable(name, error) if isinstance(error, DRIVER_ERRORS) else None


def failure_of_change(error: Exception, name: str) -> SettleError | None:
    """Return the port's error for a failed COMMIT, or a failed statement that commits on its own.

    The change certainly had no effect only if the server refused it and kept the connection open. With synchronous
    replication the server closes a connection whose change it has committed but no standby has confirmed.

    Args:
        error: the exception that a driver or an adapter raised.
        name: the database's name at the start of a sentence.

    Returns:
        The port's error. None if `error` is one of Settle's own or a bug, and must pass unchanged. A returned row that
        cannot be read counts as a bug, because the change that returned it is done.
    """
    if isinstance(error, SettleError):
        return None
    if isinstance(error, asyncpg.DataError) or _is_refusal(error):
        return failure_without_effect(error, name)
    if isinstance(error, DRIVER_ERRORS):
        return UnansweredError(
            f"{name} did not answer: {_reason_of(error)}. The request may or may not have taken effect. Try again."
        )
    return None


def describe_failure(error: BaseException, timeout_s: float) -> str:
    """Return a short reason, on one line, why a server could not be reached within the timeout (in seconds)."""
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, socket.gaierror):
        return "its host name is not known"
    said = " ".join(str(error).split()).rstrip(".")
    if isinstance(error, TimeoutError) and not said:
        return f"no answer within {timeout_s:g} s"
    return said or type(error).__name__


def _is_of_data(error: Exception) -> bool:
    return isinstance(error, asyncpg.PostgresError) and (error.sqlstate or "").startswith(_DATA_CLASSES)


def _is_refusal(error: Exception) -> bool:
    """Return whether the server rolled back: it answered with an error after which the session continues."""
    return (
        isinstance(error, asyncpg.PostgresError)
        and error.severity_en == "ERROR"
        and not (error.sqlstate or "").startswith(_CUT_CLASSES)
    )


def _data_error(name: str, error: Exception) -> DataError:
    return DataError(
        f"{name} cannot accept or return these data: {_reason_of(error)}. "
        "Nothing was changed. Repair the data and try again."
    )


def _reason_of(error: BaseException) -> str:
    """Return the error's message on one line, with its SQLSTATE, by which PostgreSQL's manual explains it."""
    said = " ".join(str(error).split()).rstrip(".")
    if isinstance(error, asyncpg.PostgresError):
        return f"{said} (SQLSTATE {error.sqlstate})"
    return said or ("no answer in time" if isinstance(error, TimeoutError) else type(error).__name__)


def _advice_on(error: BaseException, advice_by_error: dict[type[BaseException], str], otherwise: str) -> str:
    return next((text for kind, text in advice_by_error.items() if isinstance(error, kind)), otherwise)
