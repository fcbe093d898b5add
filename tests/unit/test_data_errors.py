"""Errors of the data are told from errors of the world: what is split for, and what is tried again."""

import asyncio
import ssl

import asyncpg
import pytest
from asyncpg import exceptions as postgresql

from domain import limits
from domain.errors import ChunkDataError, InvariantViolationError, UnavailableError
from schemas.isolation import ItemRange
from schemas.ledger import CreditResultCode
from settling.data_errors import data_errors_of, is_data_error, storable

DATA = [
    KeyError("an answer is missing"),
    OverflowError("date value out of range"),
    ZeroDivisionError(),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    TypeError("unsupported operand"),
    AttributeError("None has no attribute"),
    AssertionError(),
    InvariantViolationError("The ledger contradicts itself."),
    asyncpg.DataError("invalid input for query argument"),
    postgresql.NumericValueOutOfRangeError("22003"),
    asyncpg.UniqueViolationError("23505"),
    asyncpg.CheckViolationError("23514"),
    asyncpg.RaiseError("P0001"),
]

WORLD = [
    OSError("no route"),
    ConnectionResetError(),
    TimeoutError(),
    ssl.SSLCertVerificationError("certificate has expired"),  # a ValueError as well
    asyncio.IncompleteReadError(b"", 1),
    asyncio.CancelledError(),
    UnavailableError("It is away."),
    RuntimeError("unable to perform operation on the transport; it is closed"),
    asyncpg.InterfaceError("connection is closed"),
    asyncpg.InternalClientError("got result for unknown protocol state"),
    postgresql.ConnectionDoesNotExistError("08003"),
    postgresql.SerializationError("40001"),
    postgresql.DeadlockDetectedError("40P01"),
    postgresql.TooManyConnectionsError("53300"),
    postgresql.LockNotAvailableError("55P03"),
    postgresql.ObjectNotInPrerequisiteStateError("55000"),
    postgresql.AdminShutdownError("57P01"),
    postgresql.CannotConnectNowError("57P03"),
    postgresql.QueryCanceledError("57014"),
    postgresql.IdleInTransactionSessionTimeoutError("25P03"),
    postgresql.ReadOnlySQLTransactionError("25006"),
    postgresql.UndefinedTableError("42P01"),
    postgresql.PostgresIOError("58030"),
    postgresql.DataCorruptedError("XX001"),
]


@pytest.mark.parametrize("error", DATA, ids=lambda error: type(error).__name__)
def test_an_error_of_the_data_is_told_with_its_kind_its_text_and_the_items(error: Exception) -> None:
    assert is_data_error(error)
    with pytest.raises(ChunkDataError) as told, data_errors_of(ItemRange(10, 20)):
        raise error
    assert told.value.detail.startswith(type(error).__name__)
    assert (told.value.item_start, told.value.item_end) == (10, 20)
    assert told.value.__cause__ is error


@pytest.mark.parametrize("error", WORLD, ids=lambda error: type(error).__name__)
def test_an_error_of_the_world_passes_as_it_is(error: BaseException) -> None:
    with pytest.raises(type(error)) as told, data_errors_of(ItemRange(10, 20)):
        raise error
    assert told.value is error


def test_an_answer_that_cannot_be_parsed_is_an_error_of_the_data() -> None:
    with (
        pytest.raises(ChunkDataError, match="'paid in cash' is not a valid CreditResultCode"),
        data_errors_of(ItemRange(0, 1)),
    ):
        CreditResultCode("paid in cash")


def test_a_detail_is_storable_whatever_the_error_said() -> None:
    text = storable("a\0b\ud800" + "x" * 1_000)
    assert text.startswith("a?b?x")
    assert len(text.encode()) == limits.EXCEPTION_DETAIL_LENGTH_MAX
