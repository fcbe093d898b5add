"""The one place that picks adapters."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import TypeVar

from database.migrations import fetch_missing_migrations, migrate
from database.pools import Pool, open_pool
from domain import limits
from domain.errors import UnavailableError
from fund_platform.port import FundPlatform
from fund_platform.postgres import PostgresFundPlatform
from order_center.port import OrderCenter
from order_center.postgres import PostgresOrderCenter
from runtime.settings import Settings
from settlement_store.port import SettlementStore
from settlement_store.postgres import PostgresSettlementStore

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
    """Open the Order Center's adapter; its connections close with the context."""
    return _open(PostgresOrderCenter, settings.order_center_url, "order_center", statement_timeout_s)


def open_fund_platform(
    settings: Settings, *, statement_timeout_s: float = limits.STATEMENT_TIMEOUT_S
) -> AbstractAsyncContextManager[FundPlatform]:
    """Open the Fund Platform's adapter; its connections close with the context."""
    return _open(PostgresFundPlatform, settings.fund_platform_url, "fund_platform", statement_timeout_s)


def open_settlement_store(
    settings: Settings, *, statement_timeout_s: float = limits.STATEMENT_TIMEOUT_S
) -> AbstractAsyncContextManager[SettlementStore]:
    """Open the settlement store's adapter; its connections close with the context."""
    return _open(PostgresSettlementStore, settings.database_url, "settlement", statement_timeout_s)


@asynccontextmanager
async def open_ports(
    settings: Settings, *, statement_timeout_s: float = limits.STATEMENT_TIMEOUT_S
) -> AsyncIterator[tuple[OrderCenter, SettlementStore, FundPlatform]]:
    """Open all three systems' adapters."""
    async with AsyncExitStack() as opened:
        yield (
            await opened.enter_async_context(open_order_center(settings, statement_timeout_s=statement_timeout_s)),
            await opened.enter_async_context(open_settlement_store(settings, statement_timeout_s=statement_timeout_s)),
            await opened.enter_async_context(open_fund_platform(settings, statement_timeout_s=statement_timeout_s)),
        )


def _databases(settings: Settings) -> list[tuple[str, str, str]]:
    return [
        (settings.order_center_url, "order_center", "order_center"),
        (settings.fund_platform_url, "fund_platform", "fund_platform"),
        (settings.database_url, "settlement_store", "settlement"),
    ]


def migrate_databases(settings: Settings) -> dict[str, list[str]]:
    """Bring the three systems' schemas up to date; the migrations applied now, by schema."""
    return {schema: migrate(url, package=package, schema=schema) for url, package, schema in _databases(settings)}


def require_migrated(settings: Settings) -> None:
    """Refuse to work on a schema that is older than this version of Settle.

    Raises:
        UnavailableError: migrations are missing, or a database could not be reached.
    """
    for url, package, schema in _databases(settings):
        missing = fetch_missing_migrations(url, package=package, schema=schema)
        if missing:
            raise UnavailableError(
                f"The database schema {schema} is not up to date: it lacks {', '.join(missing)}. "
                "Bring it up to date with: settle migrate"
            )
