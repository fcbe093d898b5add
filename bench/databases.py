"""Copies of an imported database. Every contestant starts from the same rows."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from runtime.settings import Settings


def clone_database(database_url: str, name: str, template: str | None = None) -> str:
    """Copy a database without open connections to a new one on the same server, and return the copy's URL.

    Args:
        database_url: the database to copy. With `template`, any database on the template's server.
        name: the name of the copy.
        template: the name of the database to copy instead.
    """
    template = template or urlsplit(database_url).path.removeprefix("/")
    with psycopg.connect(_url_of(database_url, "template1"), autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        )
    return _url_of(database_url, name)


def drop_database(database_url: str) -> None:
    """Drop a database, even if clients are connected to it."""
    name = urlsplit(database_url).path.removeprefix("/")
    with psycopg.connect(_url_of(database_url, "template1"), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        connection.execute("CHECKPOINT")


@contextmanager
def own_database(settings: Settings, name: str) -> Iterator[Settings]:
    """Yield the settings of a run on its own copy of the database and its own task queue, then drop the copy."""
    url = clone_database(settings.database_url, name)
    yield settings_of(settings, url, task_queue=name)
    drop_database(url)


def settings_of(settings: Settings, database_url: str, task_queue: str) -> Settings:
    """Return the settings with all three systems in one database."""
    urls = dict.fromkeys(("database_url", "order_center_url", "fund_platform_url"), database_url)
    return settings.model_copy(update={**urls, "task_queue": task_queue})


def keep_orders(database_url: str, order_count: int) -> None:
    """Leave only `order_count` of the overdue orders overdue."""
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "DELETE FROM order_center.unacknowledged_orders WHERE order_id NOT IN "
            "(SELECT order_id FROM order_center.unacknowledged_orders ORDER BY order_id LIMIT %s)",
            [order_count],
        )


def _url_of(database_url: str, name: str) -> str:
    return urlunsplit(urlsplit(database_url)._replace(path=f"/{name}"))
