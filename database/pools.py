"""Connection pools whose every connection gives up in time."""

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

    Plans are made for the values at hand: a plan cached while a table was empty would scan it once it is big.
    They are short plans, which compiling (JIT) would only slow down. As text, times are in UTC, as ISO 8601 has them.

    Args:
        url: where the database is.
        schema: the one schema that unqualified names mean.
        application_name: what `pg_stat_activity` shows.
        size_max: the most connections.
        statement_timeout_s: a statement's bound; its transaction's is at least as long.

    Raises:
        UnavailableError: the database could not be reached in time, or refused the connection.
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
    """Leave a connection that comes back to its pool as it is; an open transaction was rolled back by the driver.

    No statement of Settle's changes its session: there are no listeners, no cursors, no locks or settings that outlive
    a transaction. The driver's own way is one more statement each time, to close and reset what is not there.
    """


async def look_up_by_index(connection: Connection) -> None:
    """Have tables read by their indexes alone, in the order in which keys are asked for, until the transaction ends.

    For statements over thousands of keys: believing the whole table to be cheaper to read, the planner would scan it;
    and with other joins the order of a statement's locks would be the planner's.
    """
    await connection.execute(_BY_INDEX)
