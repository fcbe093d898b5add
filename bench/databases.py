"""Copies of an imported database, so that every contestant starts from the same rows."""

from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql


def clone_database(database_url: str, name: str) -> str:
    """Copy a database that nobody is connected to, to a new one on the same server; the copy's URL."""
    template = urlsplit(database_url).path.removeprefix("/")
    with psycopg.connect(_url_of(database_url, "template1"), autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        )
    return _url_of(database_url, name)


def drop_database(database_url: str) -> None:
    """Drop a database, whoever is connected to it."""
    name = urlsplit(database_url).path.removeprefix("/")
    with psycopg.connect(_url_of(database_url, "template1"), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        connection.execute("CHECKPOINT")


def _url_of(database_url: str, name: str) -> str:
    return urlunsplit(urlsplit(database_url)._replace(path=f"/{name}"))
