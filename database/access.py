"""Access to a system's tables, in blocks that translate failures into the errors of ports.

A block raises an `UnavailableError`, a `DataError` or an `UnansweredError` (see `domain.errors`), with the driver's
exception as the cause. Settle's own errors, cancellations and bugs pass through unchanged. An adapter must therefore
build its arguments and read its rows inside the block.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Literal

import asyncpg
from asyncpg.transaction import Transaction

from database.failures import DRIVER_ERRORS, failure_of_change, failure_without_effect, unavailable
from database.pools import Connection, Pool, look_up_by_index
from domain.errors import SettleError

Isolation = Literal["read_committed"]


class Database:
    """One system's database."""

    def __init__(self, pool: Pool, name: str) -> None:
        """Describe a database.

        Args:
            pool: connections to the database.
            name: its name at the start of a sentence, such as "The Order Center's database".
        """
        self._pool = pool
        self._name = name

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Connection]:
        """Provide a connection for statements that change nothing. A failure certainly had no effect."""
        async with self._connection() as connection:
            with self._telling(failure_without_effect):
                yield connection

    @asynccontextmanager
    async def reading_by_index(self) -> AsyncIterator[Connection]:
        """Provide a transaction for reads that use only indexes (`look_up_by_index`). Otherwise like `reading`."""
        async with self._connection() as connection:
            with self._telling(failure_without_effect):
                async with _begun(connection, None) as transaction:
                    await look_up_by_index(connection)
                    yield connection
                await transaction.commit()

    @asynccontextmanager
    async def transaction(self, isolation: Isolation | None = None) -> AsyncIterator[Connection]:
        """Provide a transaction, which is committed at the end of the block.

        A failure before COMMIT is sent had no effect. If the connection is lost during COMMIT, the effect is unknown.

        Args:
            isolation: None for the server's default.
        """
        async with self._connection() as connection:
            with self._telling(failure_without_effect):
                async with _begun(connection, isolation) as transaction:
                    yield connection
                # Otherwise COMMIT would fail as if it had been sent. On a lost connection `is_closed` itself fails.
                if connection.is_closed():
                    raise asyncpg.ConnectionDoesNotExistError("the connection was closed before COMMIT was sent")
            with self._telling(failure_of_change):
                await transaction.commit()

    @asynccontextmanager
    async def autocommit(self) -> AsyncIterator[Connection]:
        """Provide a connection for one statement that commits on its own, optionally after reads.

        If the connection is lost, the effect is unknown.
        """
        async with self._connection() as connection:
            with self._telling(failure_of_change):
                yield connection

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        try:
            connection = await self._pool.acquire()
        except DRIVER_ERRORS as error:
            raise unavailable(self._name, error) from error
        try:
            yield connection
        finally:
            # The pool replaces a connection that it cannot take back. All calls on it have their answers by now.
            with suppress(*DRIVER_ERRORS):
                await self._pool.release(connection)

    @contextmanager
    def _telling(self, failure_of: Callable[[Exception, str], SettleError | None]) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            failure = failure_of(error, self._name)
            if failure is None:
                raise
            raise failure from error


@asynccontextmanager
async def _begun(connection: Connection, isolation: Isolation | None) -> AsyncIterator[Transaction]:
    """Begin a transaction, and roll it back if the body fails. A lost connection, where that fails, implies it."""
    transaction = connection.transaction(isolation=isolation)
    await transaction.start()
    try:
        yield transaction
    except BaseException:
        with suppress(*DRIVER_ERRORS):
            await transaction.rollback()
        raise
