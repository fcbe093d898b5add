"""Plain-SQL migrations, run by yoyo: each system's own, in its own schema."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from urllib.parse import quote, urlencode

import psycopg
from psycopg import sql
from yoyo import get_backend, read_migrations
from yoyo.backends.base import DatabaseBackend
from yoyo.migrations import MigrationList

from database.urls import SCHEMES, without_password
from domain import limits
from domain.errors import UnavailableError

# A migration may rewrite a table, so its bound is a report's; waiting for a lock has the usual one.
_TIMEOUT_OPTIONS = (
    f"-c statement_timeout={limits.REPORT_STATEMENT_TIMEOUT_S}s"
    f" -c transaction_timeout={limits.REPORT_STATEMENT_TIMEOUT_S}s"
    f" -c lock_timeout={limits.LOCK_TIMEOUT_S}s"
    f" -c idle_in_transaction_session_timeout={limits.REPORT_STATEMENT_TIMEOUT_S}s"
)


def migrate(url: str, *, package: str, schema: str) -> list[str]:
    """Apply what is missing of a package's `migrations/` to its schema, making the schema first.

    Idempotent, and safe to run twice at once: the second waits for the first. Each migration is one transaction.

    Returns:
        The names of the migrations applied now, in order.

    Raises:
        UnavailableError: the database could not be reached.
    """
    with _told(url), _exclusive(url, schema), _backend(url, schema) as backend, _migrations(package) as known:
        missing = backend.to_apply(known)
        backend.apply_migrations(missing)
        return [migration.id for migration in missing]


def fetch_missing_migrations(url: str, *, package: str, schema: str) -> list[str]:
    """The names of the migrations that this version of Settle needs and the database does not have.

    Raises:
        UnavailableError: the database could not be reached.
    """
    with _told(url), _connect(url) as connection:
        applied_table = sql.Identifier(schema, "_yoyo_migration")
        known_row = connection.execute("SELECT to_regclass(%s)", (applied_table.as_string(),)).fetchone()
        rows = (
            connection.execute(sql.SQL("SELECT migration_id FROM {}").format(applied_table)).fetchall()
            if known_row and known_row[0]
            else []
        )
    applied = {row[0] for row in rows}
    with _migrations(package) as known:
        return [migration.id for migration in known if migration.id not in applied]


def _connect(url: str) -> psycopg.Connection[tuple[object, ...]]:
    try:
        return psycopg.connect(
            url, autocommit=True, connect_timeout=limits.DATABASE_CONNECT_TIMEOUT_S, options=_TIMEOUT_OPTIONS
        )
    except psycopg.OperationalError as error:
        raise UnavailableError(
            f"Could not connect to PostgreSQL at {without_password(url)}: {' '.join(str(error).split())}. "
            "Check that it runs and that its URL is right."
        ) from error


@contextmanager
def _told(url: str) -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        raise UnavailableError(
            f"PostgreSQL at {without_password(url)} refused to read or change the schema: "
            f"{' '.join(str(error).split())}. Check the role's rights, and that nothing holds its tables locked."
        ) from error


@contextmanager
def _exclusive(url: str, schema: str) -> Iterator[None]:
    """Hold an advisory lock, which ends with its connection: yoyo's own lock row outlives a killed process."""
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
