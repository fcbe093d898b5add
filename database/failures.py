"""PostgreSQL's failures, told as ports tell them: this is where SQLSTATEs and the drivers' exceptions end."""

import socket

import asyncpg

from database.urls import without_password
from domain import limits
from domain.errors import DataError, SettleError, UnansweredError, UnavailableError
from schemas.next_steps import MIGRATE

# The last is how the driver's pool tells of a connection that was cut while it was being given back.
DRIVER_ERRORS = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)

# Classes of SQLSTATE: data exception, integrity constraint violation, raised by a function.
_DATA_CLASSES = ("22", "23", "P0")
# Connection exception, operator intervention: the change may be kept all the same, on a standby that answers no more.
_CUT_CLASSES = ("08", "57P")
# What an adapter's own code raises over values: rows that it cannot read, arguments that it cannot send.
_VALUE_ERRORS = (ArithmeticError, TypeError, ValueError)

_ADVICE = "Check that it runs and that its URL is right."
_ADVICE_BY_ERROR: dict[type[BaseException], str] = {
    asyncpg.InvalidAuthorizationSpecificationError: "Check the user and the password in its URL.",
    asyncpg.InvalidCatalogNameError: "Create the database, or correct its name in the URL.",
    asyncpg.InsufficientPrivilegeError: "Check the role's rights.",
}
_ASK_AGAIN = "Try again; if it fails again, look into its log."
_SCHEMA_ERRORS = (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError, asyncpg.UndefinedFunctionError)
_ADVICE_ON_CALLS: dict[type[BaseException], str] = {
    asyncpg.ReadOnlySQLTransactionError: "It takes no changes: check that its URL names the primary.",
    asyncpg.DiskFullError: "Make room on its disk.",
    **dict.fromkeys(_SCHEMA_ERRORS, "Its schema is of another version."),
    **_ADVICE_BY_ERROR,
}


def unreachable(url: str, error: BaseException) -> UnavailableError:
    """What to raise when a connection to a database failed; no password is shown."""
    reason = describe_failure(error, limits.DATABASE_CONNECT_TIMEOUT_S)
    advice = _advice_on(error, _ADVICE_BY_ERROR, _ADVICE)
    return UnavailableError(f"Could not connect to PostgreSQL at {without_password(url)}: {reason}. {advice}")


def unavailable(name: str, error: BaseException) -> UnavailableError:
    """What a port raises for a call that had no effect, and may succeed later."""
    advice = _advice_on(error, _ADVICE_ON_CALLS, _ASK_AGAIN)
    return UnavailableError(
        f"{name} did not do what it was asked: {_reason_of(error)}. It had no effect. {advice}",
        MIGRATE if isinstance(error, _SCHEMA_ERRORS) else None,
    )


def failure_without_effect(error: Exception, name: str) -> SettleError | None:
    """What a port raises for an error that certainly kept the call from having an effect.

    Args:
        error: what a driver or an adapter raised before there could be an effect.
        name: whose database it is, at the start of a sentence.

    Returns:
        None for an error that passes as it is: it is Settle's own already, or a bug.
    """
    if isinstance(error, SettleError):
        return None
    if _is_of_data(error) or (isinstance(error, _VALUE_ERRORS) and not isinstance(error, OSError)):
        return _data_error(name, error)
    return unavailable(name, error) if isinstance(error, DRIVER_ERRORS) else None


def failure_of_change(error: Exception, name: str) -> SettleError | None:
    """What a port raises for an error of a statement that commits by itself, or of COMMIT.

    Only what the server refused while it goes on serving the connection had no effect. With synchronous replication it
    ends a connection whose change it has committed, but no standby has confirmed.

    Args:
        error: what a driver or an adapter raised.
        name: whose database it is, at the start of a sentence.

    Returns:
        None for an error that passes as it is: it is Settle's own already, or a bug. Among these is a row that cannot
        be read: what gave it out is done.
    """
    if isinstance(error, SettleError):
        return None
    if isinstance(error, asyncpg.DataError) or _is_refusal(error):
        return failure_without_effect(error, name)
    if isinstance(error, DRIVER_ERRORS):
        return UnansweredError(
            f"{name} gave no answer: {_reason_of(error)}. What it was asked may be done or not; ask it again."
        )
    return None


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


def _is_of_data(error: Exception) -> bool:
    return isinstance(error, asyncpg.PostgresError) and (error.sqlstate or "").startswith(_DATA_CLASSES)


def _is_refusal(error: Exception) -> bool:
    """Whether the server answered with an error after which the session goes on, so that it has rolled back."""
    return (
        isinstance(error, asyncpg.PostgresError)
        and error.severity_en == "ERROR"
        and not (error.sqlstate or "").startswith(_CUT_CLASSES)
    )


def _data_error(name: str, error: Exception) -> DataError:
    return DataError(
        f"{name} cannot take or give these data: {_reason_of(error)}. Nothing was changed; repair them and try again."
    )


def _reason_of(error: BaseException) -> str:
    """What was said on one line, with the SQLSTATE by which PostgreSQL's manual explains it."""
    said = " ".join(str(error).split()).rstrip(".")
    if isinstance(error, asyncpg.PostgresError):
        return f"{said} (SQLSTATE {error.sqlstate})"
    return said or ("no answer in time" if isinstance(error, TimeoutError) else type(error).__name__)


def _advice_on(error: BaseException, advice_by_error: dict[type[BaseException], str], otherwise: str) -> str:
    return next((text for kind, text in advice_by_error.items() if isinstance(error, kind)), otherwise)
