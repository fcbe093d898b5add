"""PostgreSQL's failures become the port's errors: of the data, without effect, or unanswered."""

import ssl

import asyncpg
import pytest
from asyncpg import exceptions as postgresql

from database.failures import failure_of_change, failure_without_effect
from domain.errors import BatchNotOpenError, DataError, SettleError, UnansweredError, UnavailableError

NAME = "A system's database"

# Faults that a person must repair, at any call.
DATA: list[Exception] = [
    asyncpg.DataError("invalid input for query argument"),
    postgresql.NumericValueOutOfRangeError("integer out of range"),
    postgresql.CharacterNotInRepertoireError("invalid byte sequence"),
    postgresql.UniqueViolationError("duplicate key"),
    postgresql.CheckViolationError("violates a check"),
    postgresql.RaiseError("a trigger says no"),
]
# The server refused the statement and serves the connection further. It rolled back, even in COMMIT.
REFUSED: list[Exception] = [
    postgresql.SerializationError("could not serialize"),
    postgresql.DeadlockDetectedError("deadlock detected"),
    postgresql.TooManyConnectionsError("too many"),
    postgresql.DiskFullError("no space left"),
    postgresql.LockNotAvailableError("lock timeout"),
    postgresql.QueryCanceledError("statement timeout"),
    postgresql.ReadOnlySQLTransactionError("read-only"),
    postgresql.InsufficientPrivilegeError("permission denied"),
    postgresql.UndefinedTableError("does not exist"),
    postgresql.PostgresIOError("could not read"),
    postgresql.DataCorruptedError("invalid page"),
]
# The outcome of a change is unknown.
CUT: list[Exception] = [
    OSError("no route"),
    ConnectionResetError(),
    TimeoutError(),
    ssl.SSLCertVerificationError("certificate has expired"),  # a ValueError as well
    asyncpg.InterfaceError("connection is closed"),
    asyncpg.InternalClientError("got result for unknown protocol state"),
    postgresql.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
    postgresql.AdminShutdownError("terminating connection due to administrator command"),
    postgresql.CrashShutdownError("terminating connection because of crash of another server process"),
    postgresql.CannotConnectNowError("the database system is starting up"),
    postgresql.IdleInTransactionSessionTimeoutError("terminating connection"),
]
ROWS: list[Exception] = [
    ValueError("Invalid isoformat string: 'infinity'"),
    OverflowError("date value out of range"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    TypeError("unsupported operand"),
]
BUGS: list[Exception] = [KeyError("no such column"), AttributeError("None has none"), AssertionError(), RuntimeError()]


def name_of(error: Exception) -> str:
    return type(error).__name__


def as_answered(error: Exception) -> Exception:
    """Return the error as the server sends it, with a severity that tells whether the session continues."""
    if isinstance(error, asyncpg.PostgresError):
        is_end = isinstance(error, postgresql.IdleInTransactionSessionTimeoutError) or error in CUT
        error.severity_en = "FATAL" if is_end else "ERROR"
    return error


@pytest.mark.parametrize("error", DATA + ROWS, ids=name_of)
def test_what_the_data_are_at_fault_for_is_told_as_such(error: Exception) -> None:
    assert isinstance(failure_without_effect(as_answered(error), NAME), DataError)


@pytest.mark.parametrize("error", REFUSED + CUT, ids=name_of)
def test_what_fails_before_there_can_be_an_effect_is_unavailable(error: Exception) -> None:
    assert isinstance(failure_without_effect(as_answered(error), NAME), UnavailableError)


@pytest.mark.parametrize("error", DATA, ids=name_of)
def test_data_that_a_change_was_refused_for_are_at_fault(error: Exception) -> None:
    assert isinstance(failure_of_change(as_answered(error), NAME), DataError)


@pytest.mark.parametrize("error", REFUSED, ids=name_of)
def test_a_change_that_the_server_refused_had_no_effect(error: Exception) -> None:
    assert isinstance(failure_of_change(as_answered(error), NAME), UnavailableError)


@pytest.mark.parametrize("error", CUT, ids=name_of)
def test_a_change_that_was_cut_is_unanswered(error: Exception) -> None:
    assert isinstance(failure_of_change(as_answered(error), NAME), UnansweredError)


@pytest.mark.parametrize("kind", [postgresql.ConnectionFailureError, postgresql.AdminShutdownError], ids=name_of)
def test_a_pooler_that_lost_its_server_is_no_refusal_whatever_severity_it_gives(kind: type[Exception]) -> None:
    error = kind("server closed the connection unexpectedly")
    error.severity_en = "ERROR"  # type: ignore[attr-defined]
    assert isinstance(failure_of_change(error, NAME), UnansweredError)


@pytest.mark.parametrize("error", ROWS, ids=name_of)
def test_a_row_of_a_change_that_nobody_can_read_does_not_say_without_effect(
    error: Exception,
) -> None:
    assert failure_of_change(error, NAME) is None


@pytest.mark.parametrize("failure_of", [failure_without_effect, failure_of_change])
@pytest.mark.parametrize("error", [*BUGS, BatchNotOpenError("It is frozen."), DataError("It is bad.")], ids=name_of)
def test_bugs_and_settles_own_errors_pass_as_they_are(failure_of: object, error: Exception) -> None:
    assert callable(failure_of)
    assert failure_of(error, NAME) is None


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (TimeoutError(), "no answer in time. The request had no effect. Try again."),
        (
            postgresql.QueryCanceledError("canceling\nstatement."),
            "canceling statement (SQLSTATE 57014). The request had no",
        ),
        (postgresql.ReadOnlySQLTransactionError("no"), "Check that its URL names the primary"),
        (postgresql.UndefinedTableError("no"), "Its schema has another version."),
        (postgresql.CheckViolationError("no"), "(SQLSTATE 23514). Nothing was changed. Repair the data and try again."),
    ],
)
def test_a_failure_says_what_was_tried_what_happened_and_what_to_do(error: Exception, said: str) -> None:
    failure = failure_without_effect(error, NAME)
    assert isinstance(failure, SettleError)
    assert str(failure).startswith(f"{NAME} ")
    assert said in str(failure)
