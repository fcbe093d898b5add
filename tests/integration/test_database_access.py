"""The adapters' blocks report the fate of their statements, even if their connection breaks."""

import asyncio
from collections.abc import AsyncIterator
from typing import NamedTuple

import asyncpg
import pytest

from database.access import Database
from database.pools import Connection, Pool, open_pool
from domain.errors import BatchNotOpenError, UnansweredError, UnavailableError
from runtime.stack_state import StackState
from tests.support.databases import url_of
from tests.support.settlements import eventually

INSERT = "INSERT INTO accounts (account_id, currency) VALUES ('alice', 'USD')"
COUNT = "SELECT count(*) FROM accounts"


class Ended(NamedTuple):
    """A database with two pools: one with a single connection that a test can cut, and one that stays connected."""

    failing: Pool
    database: Database
    behind: Pool

    async def end(self, connection: Connection) -> None:
        """Cut the connection between statements, and wait until the client has noticed."""
        await self.behind.execute("SELECT pg_terminate_backend($1)", connection.get_server_pid())

        async def has_noticed() -> bool:
            try:
                return connection.is_closed()
            except asyncpg.InterfaceError:  # the pool has already released it
                return True

        await eventually(has_noticed)

    async def insert_and_end(self) -> None:
        async with self.database.transaction() as connection:
            await connection.execute(INSERT)
            await self.end(connection)

    async def insert_end_and_raise(self, raised: BaseException) -> None:
        async with self.database.transaction() as connection:
            await connection.execute(INSERT)
            await self.end(connection)
            raise raised

    async def end_and_insert(self) -> None:
        async with self.database.autocommit() as connection:
            await self.end(connection)
            await connection.execute(INSERT)


@pytest.fixture
async def ended(pool: Pool, stack: StackState) -> AsyncIterator[Ended]:
    database = await pool.fetchval("SELECT current_database()")
    async with await open_pool(
        url_of(stack.database_url, database), schema="fund_platform", application_name="failing", size_max=1
    ) as failing:
        yield Ended(failing, Database(failing, "The database"), pool)


async def test_a_transaction_that_is_cut_before_its_commit_is_sent_had_no_effect(ended: Ended) -> None:
    with pytest.raises(UnavailableError, match="The request had no effect"):
        await ended.insert_and_end()
    assert await ended.behind.fetchval(COUNT) == 0


@pytest.mark.parametrize(
    "raised", [BatchNotOpenError("It is frozen."), KeyError("a bug"), asyncio.CancelledError()], ids=repr
)
async def test_a_rollback_that_fails_does_not_hide_why_there_was_one(ended: Ended, raised: BaseException) -> None:
    with pytest.raises(type(raised)) as told:
        await ended.insert_end_and_raise(raised)
    assert told.value is raised
    assert await ended.behind.fetchval(COUNT) == 0


async def test_a_connection_that_the_pool_cannot_take_back_does_not_hide_the_answer(
    ended: Ended, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = asyncpg.Pool.release

    async def release_late(pool: Pool, connection: Connection) -> None:
        await release(pool, connection)
        raise ConnectionResetError("cut while it was given back")

    monkeypatch.setattr(asyncpg.Pool, "release", release_late)
    async with ended.database.transaction() as connection:
        await connection.execute(INSERT)
    async with ended.database.reading() as connection:
        assert await connection.fetchval(COUNT) == 1


async def test_a_pool_that_is_closed_is_unavailable(ended: Ended) -> None:
    ended.failing.terminate()
    with pytest.raises(UnavailableError, match="pool is clos"):
        await ended.end_and_insert()


async def test_a_statement_of_its_own_on_a_connection_that_is_gone_is_unanswered(ended: Ended) -> None:
    with pytest.raises(UnansweredError):
        await ended.end_and_insert()
