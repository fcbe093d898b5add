"""The audit reports every corruption of a settled world, and nothing else."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import cast

import pytest

from database.pools import Connection, Pool, open_pool
from domain import limits
from domain.control_totals import totals_of
from fund_platform.postgres import PostgresFundPlatform
from runtime.stack_state import StackState
from schemas.audit import AuditReport
from settlement_store.postgres import PostgresSettlementStore
from settling.auditing import audit
from tests.integration.audit_corruptions import CORRUPTIONS
from tests.integration.audit_world import build_world, open_ports_of
from tests.support.databases import SCHEMA_BY_PACKAGE, DatabaseUrls, cloned_database

SLICE_SIZE = 3


class OnlyConnection:
    """A pool of one connection in a transaction. Only an audit with this pool sees the transaction's changes."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._is_idle = asyncio.Semaphore()

    async def acquire(self) -> Connection:
        await self._is_idle.acquire()
        return self._connection

    async def release(self, _: Connection) -> None:
        """Do nothing, because the connection stays in its transaction."""
        self._is_idle.release()


@pytest.fixture(scope="module")
def world(stack: StackState) -> Iterator[DatabaseUrls]:
    """The world is built once. Each test changes it in a transaction that is rolled back."""

    async def build(urls: DatabaseUrls) -> None:
        async with open_ports_of(urls) as ports:
            await build_world(ports)

    with ExitStack() as opened:
        urls = [
            opened.enter_context(cloned_database(stack.database_url, f"template_{package}"))
            for package in DatabaseUrls._fields
        ]
        asyncio.run(build(DatabaseUrls(*urls)))
        yield DatabaseUrls(*urls)


async def audit_of(urls: DatabaseUrls) -> AuditReport:
    async with open_ports_of(urls) as ports:
        return await audit(ports.store, ports.fund_platform)


async def audit_corrupted(urls: DatabaseUrls, system: str, statements: str) -> AuditReport:
    """Audit the world with the tables of one system changed."""
    schema = SCHEMA_BY_PACKAGE[system]
    async with (
        open_ports_of(urls) as ports,
        await open_pool(getattr(urls, system), schema=schema, application_name="tests") as pool,
        pool.acquire() as connection,
    ):
        transaction = connection.transaction()
        await transaction.start()
        try:
            # The tables' own rules, such as append-only, are bypassed.
            await connection.execute("SET LOCAL session_replication_role = replica")
            await connection.execute(statements)
            changed = cast("Pool", OnlyConnection(connection))
            if system == "settlement_store":
                return await audit(PostgresSettlementStore(changed), ports.fund_platform)
            return await audit(ports.store, PostgresFundPlatform(changed))
        finally:
            await transaction.rollback()


@pytest.mark.parametrize("slice_size", [1, 2, 3, 7, limits.AUDIT_SLICE_ORDER_COUNT])
async def test_an_untouched_world_is_clean_and_each_order_counts_once(
    world: DatabaseUrls, slice_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "AUDIT_SLICE_ORDER_COUNT", slice_size)
    report = await audit_of(world)
    assert report.breaks == []
    assert report.ok
    assert report.orders == 27
    assert report.settled == totals_of([("USD", 10, 10_000), ("EUR", 1, 70)])
    assert report.rejected == totals_of([("USD", 5, 5_000)])
    assert report.failed == totals_of([])
    assert report.held == totals_of([("USD", 6, 6_000)])
    assert report.pending == totals_of([("USD", 5, 5_001)])
    assert report.unconfirmed == totals_of([("USD", 5, 4_999)])
    assert report.ledger == totals_of([("USD", 15, 14_999), ("EUR", 1, 70)])
    assert (report.duplicates, report.conflicts) == (1, 2)  # one conflict was offered, one is in the ledger
    assert (report.duplicate_credits, report.unbalanced_entries, report.balance_breaks) == (0, 0, 0)
    async with open_ports_of(world) as ports:
        assert report.oldest_pending_at == (await ports.store.batches.fetch_batch("B3")).opened_at


async def test_the_slices_that_are_told_add_up_to_the_orders(
    world: DatabaseUrls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "AUDIT_SLICE_ORDER_COUNT", 4)
    told: list[int] = []
    async with open_ports_of(world) as ports:
        report = await audit(ports.store, ports.fund_platform, on_slice=told.append)
        assert sorted(told) == [3, 4, 4, 4, 4, 4, 4]
        assert sum(told) == report.orders <= (await ports.store.audit.fetch_offer_counts()).item_count


async def test_the_report_has_the_fields_that_users_rely_on(world: DatabaseUrls) -> None:
    report = json.loads((await audit_of(world)).model_dump_json())
    totals = ["settled", "rejected", "failed", "held", "pending", "unconfirmed", "ledger"]
    counts = ["duplicates", "conflicts", "duplicate_credits", "unbalanced_entries", "balance_breaks"]
    assert list(report) == ["ok", "orders", *totals, *counts, "oldest_pending_at", "breaks", "not_looked_at"]
    for name in totals:
        assert list(report[name]) == ["order_count", "order_count_by_currency", "amount_minor"]


@pytest.mark.parametrize("what", CORRUPTIONS)
async def test_a_corruption_is_named_and_nothing_else_is(
    world: DatabaseUrls, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "AUDIT_SLICE_ORDER_COUNT", SLICE_SIZE)
    system, statements, breaks = CORRUPTIONS[what]
    report = await audit_corrupted(world, system, statements)
    assert {(each.kind, each.id) for each in report.breaks} == breaks
    assert not report.ok
    kinds = [each.kind for each in report.breaks]
    assert report.duplicate_credits == kinds.count("duplicate_credit")
    assert report.unbalanced_entries == kinds.count("unbalanced_entry")
    assert report.balance_breaks == kinds.count("balance_off")
    assert all(each.detail.endswith(".") for each in report.breaks)


async def test_more_breaks_than_are_kept_are_told_and_no_kind_hides_another(
    world: DatabaseUrls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "AUDIT_BREAK_COUNT_MAX", 4)
    report = await audit_corrupted(
        world,
        "settlement_store",
        "DELETE FROM claims; UPDATE planned_totals SET order_count = 99 WHERE currency = 'EUR'",
    )
    kinds = [each.kind for each in report.breaks]
    assert set(kinds) == {
        "credit_without_item",
        "claim_missing",
        "kept_report_differs",
        "planned_total_changed",
        "more_breaks",
    }
    assert len(kinds) == 5
    assert kinds[-1] == "more_breaks"
    assert not report.ok
