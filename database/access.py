"""A system's tables, read and changed by adapters in blocks that tell what fails as ports do.

What a block raises is an `UnavailableError`, a `DataError` or an `UnansweredError` (see `domain.errors`), with what the
driver raised as its cause; Settle's own errors, cancellation and bugs pass as they are. So an adapter sends what it has
and reads its rows within the block.
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
            pool: of connections to it.
            name: whose it is, at the start of a sentence: "The Order Center's database".
        """
        self._pool = pool
        self._name = name

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Connection]:
        """A connection for statements that change nothing, so that nothing that fails had an effect."""
        async with self._connection() as connection:
            with self._telling(failure_without_effect):
                yield connection

    @asynccontextmanager
    async def reading_by_index(self) -> AsyncIterator[Connection]:
        """As `reading`, in a transaction in which tables are read by their indexes alone (`look_up_by_index`)."""
        async with self._connection() as connection:
            with self._telling(failure_without_effect):
                async with _begun(connection, None) as transaction:
                    await look_up_by_index(connection)
                    yield connection
                await transaction.commit()

    @asynccontextmanager
    async def transaction(self, isolation: Isolation | None = None) -> AsyncIterator[Connection]:
        """A transaction: what fails before COMMIT is sent had no effect, of what is cut in COMMIT nobody knows.

        Args:
            isolation: None for the server's default.
        """
        async with self._connection() as connection:
            with self._telling(failure_without_effect):
                async with _begun(connection, isolation) as transaction:
                    yield connection
                # Else COMMIT would fail as if it might have been sent. On a lost connection the question fails itself.
                if connection.is_closed():
                    raise asyncpg.ConnectionDoesNotExistError("the connection was closed before COMMIT was sent")
            with self._telling(failure_of_change):
                await transaction.commit()

    @asynccontextmanager
    async def autocommit(self) -> AsyncIterator[Connection]:
        """A connection for a statement that commits by itself, alone or after reads: of what is cut nobody knows."""
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
            # The pool replaces a connection that it cannot take back; what was asked on it has its answer.
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
    """A transaction, rolled back if the body fails. Where that fails too the connection is gone, and all with it."""
    transaction = connection.transaction(isolation=isolation)
    await transaction.start()
    try:
        yield transaction
    except BaseException:
        with suppress(*DRIVER_ERRORS):
            await transaction.rollback()
        raise
