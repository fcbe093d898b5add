"""What PostgreSQL really did for a statement: the nodes of its executed plan."""

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
    """Run a statement of an adapter under EXPLAIN ANALYZE and undo it; timing its nodes would take longer than they."""
    transaction = connection.transaction()
    await transaction.start()
    if name in LOOKED_UP_BY_INDEX:
        await look_up_by_index(connection)
    explain = f"EXPLAIN (ANALYZE, TIMING {is_timed}, BUFFERS OFF, FORMAT JSON)"
    explained = await connection.fetchval(f"{explain} {load_query(package, name)}", *arguments)
    await transaction.rollback()
    return list(_nodes_of(json.loads(explained)[0]["Plan"]))


def read_row_count(node: PlanNode) -> float:
    """The rows that a node read, those that a filter removed included."""
    removed = sum(count for name, count in node.items() if name.startswith("Rows Removed by"))
    return float((node["Actual Rows"] + removed) * node["Actual Loops"])


def _nodes_of(plan: PlanNode) -> Iterator[PlanNode]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes_of(child)
