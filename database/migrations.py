"""Plain-SQL migrations, run by yoyo. Each system has its own, in its own schema."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from typing import NamedTuple
from urllib.parse import quote, urlencode

import asyncpg
import psycopg
from psycopg import sql
from yoyo import get_backend, read_migrations
from yoyo.backends.base import DatabaseBackend
from yoyo.migrations import MigrationList

from database.failures import DRIVER_ERRORS, unreachable
from database.urls import SCHEMES, without_password
from domain import limits
from domain.errors import UnavailableError

# A migration may rewrite a table, so it gets the timeout of a report. Waiting for a lock has the usual timeout.
_TIMEOUT_OPTIONS = (
    f"-c statement_timeout={limits.REPORT_STATEMENT_TIMEOUT_S}s"
    f" -c transaction_timeout={limits.REPORT_STATEMENT_TIMEOUT_S}s"
    f" -c lock_timeout={limits.LOCK_TIMEOUT_S}s"
    f" -c idle_in_transaction_session_timeout={limits.REPORT_STATEMENT_TIMEOUT_S}s"
)

_FETCH_APPLIED = "SELECT migration_id FROM _yoyo_migration ORDER BY migration_id"


def migrate(url: str, *, package: str, schema: str) -> list[str]:
    """Create a package's schema if it is missing, and apply its missing `migrations/`.

    Idempotent. Safe to run concurrently: the second run waits for the first. Each migration is one transaction.

    Returns:
        The names of the migrations applied by this call, in order.

    Raises:
        UnavailableError: the database is unreachable, or refused to read or change the schema.
    """
    with (
        _translated_failures(url),
        _exclusive(url, schema),
        _backend(url, schema) as backend,
        _migrations(package) as known,
    ):
        missing = backend.to_apply(known)
        backend.apply_migrations(missing)
        return [migration.id for migration in missing]


class SchemaState(NamedTuple):
    """The differences between a database's schema and this version of Settle, as names of migrations."""

    missing: list[str]
    """Migrations of this version that the database lacks. If there are any, the schema is too old."""
    unknown: list[str]
    """Migrations of the database that this version lacks. If there are any, the schema is newer."""


async def fetch_schema_state(url: str, *, package: str, schema: str) -> SchemaState:
    """Compare a package's migrations with those of a database, within `limits.DATABASE_CONNECT_TIMEOUT_S`.

    Raises:
        UnavailableError: the database did not answer in time, or refused to be read.
    """
    try:
        async with asyncio.timeout(limits.DATABASE_CONNECT_TIMEOUT_S):
            applied = await _fetch_applied(url, schema)
    except DRIVER_ERRORS as error:
        raise unreachable(url, error) from error
    with _migrations(package) as migrations:
        known = [migration.id for migration in migrations]
    return SchemaState(
        missing=[name for name in known if name not in applied],
        unknown=[name for name in applied if name not in known],
    )


async def _fetch_applied(url: str, schema: str) -> list[str]:
    connection = await asyncpg.connect(url, server_settings={"search_path": schema})
    try:
        return [row[0] for row in await connection.fetch(_FETCH_APPLIED)]
    except asyncpg.UndefinedTableError:
        return []
    finally:
        connection.terminate()


def _connect(url: str) -> psycopg.Connection[tuple[object, ...]]:
    try:
        return psycopg.connect(
            url, autocommit=True, connect_timeout=limits.DATABASE_CONNECT_TIMEOUT_S, options=_TIMEOUT_OPTIONS
        )
    except psycopg.OperationalError as error:
        raise unreachable(url, error) from error


@contextmanager
def _translated_failures(url: str) -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        raise UnavailableError(
            f"PostgreSQL at {without_password(url)} refused to read or change the schema: "
            f"{' '.join(str(error).split())}. Check the role's rights, and that no other session locks its tables."
        ) from error


@contextmanager
def _exclusive(url: str, schema: str) -> Iterator[None]:
    """Hold an advisory lock, which ends with its connection. Yoyo's own lock row would outlive a killed process."""
    with _connect(url) as connection:
        connection.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", (f"settle migrate {schema}",))
        connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
        yield


@contextmanager
def _backend(url: str, schema: str) -> Iterator[DatabaseBackend]:
    scheme = next(scheme for scheme in SCHEMES if url.startswith(scheme))
    rest = url.removeprefix(scheme)
    arguments = urlencode({"schema": schema, "options": _TIMEOUT_OPTIONS}, quote_via=quote)
    backend = get_backend(f"postgresql+psycopg://{rest}{'&' if '?' in rest else '?'}{arguments}")
    try:
        yield backend
    finally:
        backend.connection.close()


@contextmanager
def _migrations(package: str) -> Iterator[MigrationList]:
    with as_file(files(package).joinpath("migrations")) as directory:
        yield read_migrations(str(directory))
