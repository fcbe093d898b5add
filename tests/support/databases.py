"""Databases for each test, cloned from migrated templates."""

import itertools
import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from database.migrations import migrate

SCHEMA_BY_PACKAGE = {
    "order_center": "order_center",
    "fund_platform": "fund_platform",
    "settlement_store": "settlement",
}
_serial = itertools.count()

_idle: defaultdict[tuple[str, str], list[str]] = defaultdict(list)  # this process's databases, by server and template

# Emptying tables is many times faster than cloning a database.
EMPTY_SETTLEMENT_STORE = """
DO $$ BEGIN EXECUTE (
    SELECT 'TRUNCATE ' || string_agg(format('settlement.%I', tablename), ', ')
    FROM pg_tables WHERE schemaname = 'settlement' AND tablename NOT LIKE '%yoyo%'
); END $$
"""

# A database is not reused if its tables, its migrations or its settings were changed. These triggers record changes.
_NOTE_CHANGES = """
CREATE SCHEMA tests;
CREATE TABLE tests.changes (what text);
CREATE FUNCTION tests.note_command() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO tests.changes VALUES (tg_tag);
END $$;
CREATE FUNCTION tests.note_migration() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO tests.changes VALUES (tg_op);
    RETURN NULL;
END $$;
DO $$ DECLARE migrations regclass; BEGIN
    FOR migrations IN SELECT oid FROM pg_class WHERE relname = '_yoyo_migration' LOOP
        EXECUTE format(
            'CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON %1$s EXECUTE FUNCTION '
            'tests.note_migration(); ALTER TABLE %1$s ENABLE ALWAYS TRIGGER note', migrations
        );
    END LOOP;
END $$;
CREATE EVENT TRIGGER note ON ddl_command_end EXECUTE FUNCTION tests.note_command();
ALTER EVENT TRIGGER note ENABLE ALWAYS;
"""
_END_OTHER_SESSIONS = """
SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
_IS_CHANGED = """
SELECT EXISTS (SELECT FROM tests.changes) OR EXISTS (
    SELECT FROM pg_db_role_setting JOIN pg_database ON pg_database.oid = setdatabase WHERE datname = current_database()
)
"""
# The replica role bypasses the triggers that protect the ledger. Empty tables are skipped to save time.
_EMPTY = """
SET session_replication_role = replica;
DO $$ DECLARE
    schemas oid[] := ARRAY(
        SELECT oid FROM pg_namespace WHERE nspname IN ('order_center', 'fund_platform', 'settlement')
    );
    used text;
BEGIN
    SELECT string_agg(oid::regclass::text, ', ') INTO used FROM pg_class
    WHERE relkind = 'r' AND relnamespace = ANY (schemas) AND relname NOT LIKE '%yoyo%' AND pg_relation_size(oid) > 0;
    IF used IS NOT NULL THEN
        EXECUTE 'TRUNCATE ' || used || ' CASCADE';
    END IF;
    PERFORM setval(oid, 1, false) FROM pg_class WHERE relkind = 'S' AND relnamespace = ANY (schemas);
END $$
"""


class DatabaseUrls(NamedTuple):
    """The URL of each system's database. With three databases, no statement can join two systems."""

    order_center: str
    fund_platform: str
    settlement_store: str


def url_of(server_url: str, name: str) -> str:
    return urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))


def execute(server_url: str, statement: str, *names: str) -> None:
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def make_templates(server_url: str) -> None:
    """Create and migrate one template database for each system, and one for all three."""
    packages_by_template = {f"template_{package}": [package] for package in SCHEMA_BY_PACKAGE}
    for template, packages in {**packages_by_template, "template_all": list(SCHEMA_BY_PACKAGE)}.items():
        execute(server_url, "CREATE DATABASE {}", template)
        for package in packages:
            schema = SCHEMA_BY_PACKAGE[package]
            migrate(url_of(server_url, template), package=f"{package}.postgres", schema=schema)


def name_of(database_url: str) -> str:
    return urlsplit(database_url).path.removeprefix("/")


@contextmanager
def cloned_database(server_url: str, template: str) -> Iterator[str]:
    """Yield a fresh database and drop it at the end. No client may be connected to the template."""
    name = f"test_{os.getpid()}_{next(_serial)}"
    execute(server_url, "CREATE DATABASE {} TEMPLATE {}", name, template)
    try:
        yield url_of(server_url, name)
    finally:
        execute(server_url, "DROP DATABASE {} WITH (FORCE)", name)


@contextmanager
def lent_database(server_url: str, template: str) -> Iterator[str]:
    """Yield a database that equals its template. It is emptied at the end and reused, which is faster than cloning.

    It is dropped instead if its tables, migrations or settings were changed. Every client that used it must have
    stopped, or it could write into the next test's data.
    """
    idle = _idle[server_url, template]
    name = idle.pop() if idle else _clone_to_lend(server_url, template)
    try:
        yield url_of(server_url, name)
    finally:
        if _is_emptied(url_of(server_url, name)):
            idle.append(name)
        else:
            execute(server_url, "DROP DATABASE {} WITH (FORCE)", name)


def _clone_to_lend(server_url: str, template: str) -> str:
    name = f"lent_{os.getpid()}_{next(_serial)}"
    execute(server_url, "CREATE DATABASE {} TEMPLATE {}", name, template)
    execute(url_of(server_url, name), _NOTE_CHANGES)
    return name


def _is_emptied(url: str) -> bool:
    """Empty a database if only its rows were changed, and return whether it was emptied."""
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(_END_OTHER_SESSIONS)
            if connection.execute(_IS_CHANGED).fetchone() == (True,):
                return False
            connection.execute(_EMPTY)
            return True
    except psycopg.OperationalError:
        return False  # it no longer accepts connections
