"""The page on the tables, from the comments and columns of a migrated database."""

from collections.abc import Mapping
from typing import NamedTuple

import asyncpg

from tools.reference.markdown import page, table

_INTRODUCTION = """
Each system has a schema of its own, and may have a database server of its own: no foreign key and no join crosses
them. `settle migrate` makes the tables. Read them as you like, best on a replica; write them through Settle only.
"""
_SYSTEMS = {
    "order_center": "Order Center: schema `order_center`",
    "settlement": "Finance Center: schema `settlement`",
    "fund_platform": "Fund Platform: schema `fund_platform`",
}
_FETCH_TABLES = """
SELECT relation.relname, obj_description(relation.oid), array_agg(attribute.attname ORDER BY attribute.attnum) FROM
pg_class AS relation JOIN pg_attribute AS attribute ON attribute.attrelid = relation.oid AND attribute.attnum > 0 AND
NOT attisdropped WHERE relation.relnamespace = $1::text::regnamespace AND relation.relkind IN ('r', 'v')     AND
relation.relname NOT LIKE '%yoyo%' GROUP BY relation.oid, relation.relname ORDER BY relation.relkind, relation.oid
"""


class DescribedTable(NamedTuple):
    """A table or view with its sentence."""

    name: str
    sentence: str | None
    columns: list[str]


async def fetch_tables(database_url: str) -> dict[str, list[DescribedTable]]:
    """Read the tables and views of all schemas of Settle, in the order in which they were made."""
    connection = await asyncpg.connect(database_url)
    try:
        return {
            schema: [DescribedTable(*row) for row in await connection.fetch(_FETCH_TABLES, schema)]
            for schema in _SYSTEMS
        }
    finally:
        await connection.close()


def tables_page(tables: Mapping[str, list[DescribedTable]]) -> str:
    """Return the page."""
    parts = []
    for schema, title in _SYSTEMS.items():
        rows = [[f"`{each.name}`", each.sentence or "", _code(each.columns)] for each in tables[schema]]
        parts += [f"## {title}", table(["table or view", "holds", "columns"], rows)]
    return page("Tables", _INTRODUCTION, *parts)


def _code(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
