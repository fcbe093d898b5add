"""Connection pools with timeouts on every connection."""

from typing import TypeAlias

import asyncpg

from database.failures import DRIVER_ERRORS, unreachable
from domain import limits

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Row: TypeAlias = asyncpg.Record
Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"

_BY_INDEX = "; ".join(f"SET LOCAL enable_{way} = off" for way in ("bitmapscan", "hashjoin", "mergejoin", "seqscan"))


async def open_pool(
    url: str,
    *,
    schema: str,
    application_name: str,
    size_max: int = limits.DATABASE_POOL_SIZE_MAX,
    statement_timeout_s: float = limits.STATEMENT_TIMEOUT_S,
) -> Pool:
    """Open a pool on one schema of a database.

    Every plan is made for its actual values, because a plan cached for an empty table would scan the table when it
    is large. JIT compilation is off because it slows these short statements down. Times as text are ISO 8601 in UTC.

    Args:
        url: the database's URL.
        schema: the only schema in which unqualified names are looked up.
        application_name: the name shown in `pg_stat_activity`.
        size_max: the most connections.
        statement_timeout_s: the timeout of a statement. Its transaction's timeout is at least as long.

    Raises:
        UnavailableError: the database did not answer in time, or refused the connection.
    """
    transaction_timeout_s = max(limits.TRANSACTION_TIMEOUT_S, statement_timeout_s)
    try:
        return await asyncpg.create_pool(
            url,
            min_size=1,
            max_size=size_max,
            timeout=limits.DATABASE_CONNECT_TIMEOUT_S,
            command_timeout=transaction_timeout_s,
            reset=_keep_session,
            server_settings={
                "application_name": application_name,
                "search_path": schema,
                "timezone": "UTC",
                "datestyle": "ISO",
                "statement_timeout": f"{statement_timeout_s:.0f}s",
                "lock_timeout": f"{limits.LOCK_TIMEOUT_S}s",
                "idle_in_transaction_session_timeout": f"{limits.IDLE_IN_TRANSACTION_TIMEOUT_S}s",
                "transaction_timeout": f"{transaction_timeout_s:.0f}s",
                "plan_cache_mode": "force_custom_plan",
                "jit": "off",
            },
        )
    except DRIVER_ERRORS as error:
        raise unreachable(url, error) from error


async def _keep_session(_connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Keep the session of a released connection. The driver has already rolled back an open transaction.

    Settle's statements leave nothing in a session: no listeners, no cursors, and no locks or settings that outlive a
    transaction. The driver's own reset would cost one more statement for each release.
    """


async def look_up_by_index(connection: Connection) -> None:
    """Make statements use only index lookups, in the order of their keys, until the transaction ends.

    This is for statements over thousands of keys. The planner would otherwise scan the whole table, and other joins
    would take a statement's locks in an order of the planner's choice.
    """
    await connection.execute(_BY_INDEX)
