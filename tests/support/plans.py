"""The executed plan of a statement in PostgreSQL, as a list of nodes."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from database.pools import Connection, look_up_by_index
from database.queries import load_query

PlanNode = dict[str, Any]

LOOKED_UP_BY_INDEX = {
    "acknowledge",
    "fetch_credit_totals",
    "fetch_credits_of",
    "fetch_later_item_groups",
    "fetch_overdue_slice",
    "fetch_records",
    "post_credits",
    "post_new_credits",
}


async def executed_nodes(
    connection: Connection, package: str, name: str, arguments: Sequence[object], *, is_timed: bool = False
) -> list[PlanNode]:
    """Run an adapter's statement under EXPLAIN ANALYZE, roll it back and return its plan's nodes.

    Timing the nodes is off by default, because it takes longer than the nodes themselves.
    """
    transaction = connection.transaction()
    await transaction.start()
    if name in LOOKED_UP_BY_INDEX:
        await look_up_by_index(connection)
    explain = f"EXPLAIN (ANALYZE, TIMING {is_timed}, BUFFERS OFF, FORMAT JSON)"
    explained = await connection.fetchval(f"{explain} {load_query(package, name)}", *arguments)
    await transaction.rollback()
    return list(_nodes_of(json.loads(explained)[0]["Plan"]))


def read_row_count(node: PlanNode) -> float:
    """Return how many rows a node read, with those that a filter removed."""
    removed = sum(count for name, count in node.items() if name.startswith("Rows Removed by"))
    return float((node["Actual Rows"] + removed) * node["Actual Loops"])


def _nodes_of(plan: PlanNode) -> Iterator[PlanNode]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes_of(child)
