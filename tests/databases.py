"""Databases of their own for every test, cloned from migrated templates."""

import itertools
import os
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

# Emptying tables is many times faster than cloning a database.
EMPTY_SETTLEMENT_STORE = """
DO $$ BEGIN EXECUTE (
    SELECT 'TRUNCATE ' || string_agg(format('settlement.%I', tablename), ', ')
    FROM pg_tables WHERE schemaname = 'settlement' AND tablename NOT LIKE '%yoyo%'
); END $$
"""


class DatabaseUrls(NamedTuple):
    """Where each system's tables are; three databases, so that no join between them can slip in."""

    order_center: str
    fund_platform: str
    settlement_store: str


def url_of(server_url: str, name: str) -> str:
    return urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))


def execute(server_url: str, statement: str, *names: str) -> None:
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def make_templates(server_url: str) -> None:
    """Migrate one template database for each system, and one that holds all three."""
    execute(server_url, "CREATE DATABASE {}", "template_all")
    for package, schema in SCHEMA_BY_PACKAGE.items():
        template = f"template_{package}"
        execute(server_url, "CREATE DATABASE {}", template)
        migrate(url_of(server_url, template), package=f"{package}.postgres", schema=schema)
        migrate(url_of(server_url, "template_all"), package=f"{package}.postgres", schema=schema)


def name_of(database_url: str) -> str:
    return urlsplit(database_url).path.removeprefix("/")


@contextmanager
def cloned_database(server_url: str, template: str) -> Iterator[str]:
    """A fresh database, dropped at the end. Nobody may be connected to the template."""
    name = f"test_{os.getpid()}_{next(_serial)}"
    execute(server_url, "CREATE DATABASE {} TEMPLATE {}", name, template)
    try:
        yield url_of(server_url, name)
    finally:
        execute(server_url, "DROP DATABASE {} WITH (FORCE)", name)
