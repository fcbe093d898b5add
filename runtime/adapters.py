"""The choice of adapters. No other module picks them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import TypeVar

from database.migrations import SchemaState, fetch_schema_state, migrate
from database.pools import Pool, open_pool
from domain import limits
from domain.errors import UnavailableError
from fund_platform.port import FundPlatform
from fund_platform.postgres import PostgresFundPlatform
from order_center.port import OrderCenter
from order_center.postgres import PostgresOrderCenter
from runtime.settings import Settings
from schemas.next_steps import MIGRATE
from settlement_store.port import SettlementStore
from settlement_store.postgres import PostgresSettlementStore
from settling.systems import Systems

APPLICATION_NAME = "settle"

Adapter = TypeVar("Adapter")


@asynccontextmanager
async def _open(
    adapter: Callable[[Pool], Adapter], url: str, schema: str, statement_timeout_s: float
) -> AsyncIterator[Adapter]:
    async with await open_pool(
        url, schema=schema, application_name=APPLICATION_NAME, statement_timeout_s=statement_timeout_s
    ) as pool:
        yield adapter(pool)


def open_order_center(
    settings: Settings, *, statement_timeout_s: float = limits.STATEMENT_TIMEOUT_S
) -> AbstractAsyncContextManager[OrderCenter]:
    """Open the Order Center's adapter. Its connections close with the context."""
    return _open(PostgresOrderCenter, settings.order_center_url, "order_center", statement_timeout_s)


def open_fund_platform(
    settings: Settings, *, statement_timeout_s: float = limits.STATEMENT_TIMEOUT_S
) -> AbstractAsyncContextManager[FundPlatform]:
    """Open the Fund Platform's adapter. Its connections close with the context."""
    return _open(PostgresFundPlatform, settings.fund_platform_url, "fund_platform", statement_timeout_s)


def open_settlement_store(
    settings: Settings, *, statement_timeout_s: float = limits.STATEMENT_TIMEOUT_S
) -> AbstractAsyncContextManager[SettlementStore]:
    """Open the settlement store's adapter. Its connections close with the context."""
    return _open(PostgresSettlementStore, settings.database_url, "settlement", statement_timeout_s)


@asynccontextmanager
async def open_systems(
    settings: Settings, *, statement_timeout_s: float = limits.STATEMENT_TIMEOUT_S
) -> AsyncIterator[Systems]:
    """Open the adapters of all three systems. Their connections close with the context."""
    async with AsyncExitStack() as opened:
        yield Systems(
            await opened.enter_async_context(open_order_center(settings, statement_timeout_s=statement_timeout_s)),
            await opened.enter_async_context(open_settlement_store(settings, statement_timeout_s=statement_timeout_s)),
            await opened.enter_async_context(open_fund_platform(settings, statement_timeout_s=statement_timeout_s)),
        )


def _databases(settings: Settings) -> list[tuple[str, str, str]]:
    return [
        (settings.order_center_url, "order_center.postgres", "order_center"),
        (settings.fund_platform_url, "fund_platform.postgres", "fund_platform"),
        (settings.database_url, "settlement_store.postgres", "settlement"),
    ]


async def migrate_databases(settings: Settings) -> dict[str, tuple[list[str], SchemaState]]:
    """Bring the schemas of the three systems up to date. Idempotent.

    Returns:
        For each schema, the migrations applied by this call, and its state before.

    Raises:
        UnavailableError: a database is unreachable, or refused a change. If one was unreachable at the start, nothing
            was changed.
    """
    states = await _fetch_schema_states(settings)
    return {
        schema: (await asyncio.to_thread(migrate, url, package=package, schema=schema), states[schema])
        for url, package, schema in _databases(settings)
    }


async def require_migrated(settings: Settings) -> list[str]:
    """Require that no schema is older than this version of Settle.

    Returns:
        A warning for each schema that is newer. This version may work on it (see decision 0010).

    Raises:
        UnavailableError: migrations are missing, or a database is unreachable.
    """
    states = await _fetch_schema_states(settings)
    for schema, state in states.items():
        if state.missing:
            raise UnavailableError(
                f"The database schema {schema} is not up to date: it lacks {', '.join(state.missing)}.",
                MIGRATE,
            )
    return [
        f"The database schema {schema} is newer than this version of Settle: it has {', '.join(state.unknown)}. "
        "This version still works with it. Upgrade to the newer version soon."
        for schema, state in states.items()
        if state.unknown
    ]


async def _fetch_schema_states(settings: Settings) -> dict[str, SchemaState]:
    """Read the state of the three schemas concurrently. Several silent databases cost the timeout of one."""
    databases = _databases(settings)
    found = await asyncio.gather(
        *(fetch_schema_state(url, package=package, schema=schema) for url, package, schema in databases),
        return_exceptions=True,
    )
    errors = [each for each in found if isinstance(each, BaseException)]
    for error in errors:
        if not isinstance(error, UnavailableError):
            raise error
    if errors:
        next_steps = [error.next_step for error in errors if isinstance(error, UnavailableError) and error.next_step]
        raise UnavailableError(" ".join(dict.fromkeys(map(str, errors))), next(iter(next_steps), None))
    return {
        schema: state for (_, _, schema), state in zip(databases, found, strict=True) if isinstance(state, SchemaState)
    }
