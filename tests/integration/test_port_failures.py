"""Each failure that a port reports is tested by its real cause on PostgreSQL, with the stored state afterwards."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest

from database.pools import Pool, open_pool
from domain import limits
from domain.errors import DataError, UnansweredError, UnavailableError
from fund_platform.postgres import PostgresFundPlatform
from order_center.postgres import PostgresOrderCenter
from runtime.stack_state import StackState
from schemas.items import OfferedOrder
from schemas.ledger import AccountOpening, CreditRequest
from schemas.orders import OrderRecord, OrderStatus, RecordVersion
from schemas.wire.isolation import ItemRange
from settlement_store.postgres import PostgresSettlementStore
from tests.support.databases import SCHEMA_BY_PACKAGE, execute, lent_database, name_of
from tests.support.settlements import CALENDAR, NOW, eventually, opening_of
from tests.support.wires import COMMIT, STATEMENT, Fate, wired

ADAPTERS: dict[str, Callable[[Pool], Any]] = {
    "order_center": PostgresOrderCenter,
    "fund_platform": PostgresFundPlatform,
    "settlement_store": PostgresSettlementStore,
}
# Each call is made twice: before the second, which counts, the driver has prepared its statements and types.
NAMES = ("warm", "real")


class Change(NamedTuple):
    """A port's call that changes data."""

    package: str
    call: Callable[[Any, str], Coroutine[Any, Any, object]]
    table: str
    is_done: str
    """Asks whether the change with this name is there."""
    request: bytes
    """What commits it."""


class Read(NamedTuple):
    """A port's call that changes no data."""

    package: str
    call: Callable[[Any], Coroutine[Any, Any, object]]
    table: str


def record_of(order_id: str) -> OrderRecord:
    return OrderRecord(order_id, "a", 100, 0, "USD", OrderStatus.COMPLETED, NOW, NOW)


async def prepare(package: str, adapter: Any) -> None:
    """Store the data that the calls need."""
    match package:
        case "order_center":
            for name in NAMES:  # one after another, for their versions
                await adapter.load_records([record_of(name)])
        case "fund_platform":
            await adapter.accounts.open_accounts([AccountOpening(name, "USD") for name in NAMES])
        case "settlement_store":
            for name in NAMES:
                await adapter.filling.open_batch(opening_of(name, chunk_size=10, window=1))


CHANGES = {
    "acknowledging": Change(
        "order_center",
        lambda adapter, name: adapter.acknowledge([RecordVersion(name, 1 + NAMES.index(name))]),
        "unacknowledged_orders",
        "SELECT NOT EXISTS (SELECT FROM unacknowledged_orders WHERE order_id = $1)",
        COMMIT,
    ),
    "loading": Change(
        "order_center",
        lambda adapter, name: adapter.load_records([record_of(f"new-{name}")]),
        "orders",
        "SELECT EXISTS (SELECT FROM orders WHERE order_id = 'new-' || $1)",
        STATEMENT,
    ),
    "posting": Change(
        "fund_platform",
        lambda adapter, name: adapter.credits.post_credits("a test", [CreditRequest(name, 1, name, 5, "USD")]),
        "credit_answers",
        "SELECT EXISTS (SELECT FROM postings WHERE idempotency_key = $1)",
        COMMIT,
    ),
    "withdrawing": Change(
        "fund_platform",
        lambda adapter, name: adapter.credits.withdraw_credits("a test", [CreditRequest(name, 1, name, 5, "USD")]),
        "credit_answers",
        "SELECT EXISTS (SELECT FROM credit_answers WHERE idempotency_key = $1)",
        COMMIT,
    ),
    "closing an account": Change(
        "fund_platform",
        lambda adapter, name: adapter.accounts.close_account(name),
        "accounts",
        "SELECT closed_at IS NOT NULL FROM accounts WHERE account_id = $1",
        STATEMENT,
    ),
    "freezing": Change(
        "settlement_store",
        lambda adapter, name: adapter.filling.freeze_batch(name, CALENDAR),
        "batches",
        "SELECT state = 'frozen' FROM batches WHERE batch_id = $1",
        COMMIT,
    ),
    "appending": Change(
        "settlement_store",
        lambda adapter, name: adapter.filling.append_orders(name, [OfferedOrder(name, "a", 5, "USD")]),
        "items",
        "SELECT EXISTS (SELECT FROM items WHERE order_id = $1)",
        STATEMENT,
    ),
}
READS = {
    "an order": Read("order_center", lambda adapter: adapter.fetch_order("real"), "orders"),
    "records": Read("order_center", lambda adapter: adapter.fetch_records(["real"]), "orders"),
    "an account": Read("fund_platform", lambda adapter: adapter.accounts.fetch_account("real"), "accounts"),
    "totals": Read("fund_platform", lambda adapter: adapter.credits.fetch_credit_totals(["real"]), "postings"),
    "a batch": Read("settlement_store", lambda adapter: adapter.batches.fetch_batch("real"), "batches"),
    "progress": Read("settlement_store", lambda adapter: adapter.batches.fetch_progress("real"), "batches"),
}
each_change = pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
each_read = pytest.mark.parametrize("read", READS.values(), ids=READS)


class World:
    """One system's database, with a connection that no failure affects."""

    def __init__(self, stack: StackState, package: str, url: str, pool: Pool) -> None:
        self._stack = stack
        self._package = package
        self.url = url
        self.behind = pool

    @asynccontextmanager
    async def adapter(self, url: str | None = None, **options: Any) -> AsyncIterator[tuple[Any, Pool]]:
        """Yield the system's adapter with a pool of one connection."""
        async with await open_pool(
            url or self.url, schema=SCHEMA_BY_PACKAGE[self._package], application_name="failing", size_max=1, **options
        ) as pool:
            yield ADAPTERS[self._package](pool), pool

    async def is_done(self, change: Change) -> bool:
        return bool(await self.behind.fetchval(change.is_done, "real"))

    async def trigger(self, table: str, does: str, *, is_deferred: bool) -> None:
        """Make the changes of a table do something immediately or in COMMIT."""
        await self.behind.execute(
            f"CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {does}; RETURN NULL; END $$;"
            f"CREATE CONSTRAINT TRIGGER fails AFTER INSERT OR UPDATE OR DELETE ON {table} "
            f"DEFERRABLE INITIALLY {'DEFERRED' if is_deferred else 'IMMEDIATE'} FOR EACH ROW EXECUTE FUNCTION fail()"
        )

    @asynccontextmanager
    async def locked(self, table: str) -> AsyncIterator[None]:
        async with self.behind.acquire() as connection, connection.transaction():
            await connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            yield

    def set_read_only(self) -> None:
        """Refuse changes on new connections, as a standby does."""
        execute(self._stack.database_url, "ALTER DATABASE {} SET default_transaction_read_only = on", name_of(self.url))


@pytest.fixture
async def world(request: pytest.FixtureRequest, stack: StackState) -> AsyncIterator[World]:
    parameters = request.node.callspec.params
    package = next(each.package for each in parameters.values() if isinstance(each, (Change, Read, Unreadable)))
    with lent_database(stack.database_url, f"template_{package}") as url:
        async with await open_pool(url, schema=SCHEMA_BY_PACKAGE[package], application_name="behind") as pool:
            await prepare(package, ADAPTERS[package](pool))
            yield World(stack, package, url, pool)


@each_change
@pytest.mark.parametrize("fate", [Fate.ANSWER_LOST, Fate.ANSWER_HELD], ids=["cut", "held"])
async def test_a_change_whose_answer_is_lost_is_unanswered_and_done(
    world: World, change: Change, fate: Fate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "TRANSACTION_TIMEOUT_S", 1)
    async with wired(world.url) as wire, world.adapter(wire.url, statement_timeout_s=1) as (adapter, _):
        await change.call(adapter, "warm")
        wire.arm(change.request, fate)
        with pytest.raises(UnansweredError, match="did not answer") as told:
            await change.call(adapter, "real")
        assert isinstance(told.value.__cause__, TimeoutError if fate == Fate.ANSWER_HELD else Exception)
        assert await world.is_done(change)
        wire.close()


@each_change
async def test_a_change_cut_on_its_way_is_unavailable_only_if_its_commit_was_to_come(
    world: World, change: Change
) -> None:
    async with wired(world.url) as wire, world.adapter(wire.url) as (adapter, _):
        await change.call(adapter, "warm")
        wire.arm(STATEMENT, Fate.REQUEST_LOST)
        with pytest.raises(UnavailableError if change.request == COMMIT else UnansweredError):
            await change.call(adapter, "real")
        assert not wire.is_armed
        assert not await world.is_done(change)
        # The pool has another connection for the next call.
        await change.call(adapter, "real")
        assert await world.is_done(change)


@each_read
async def test_a_read_that_is_cut_is_unavailable(world: World, read: Read) -> None:
    async with wired(world.url) as wire, world.adapter(wire.url) as (adapter, _):
        await read.call(adapter)
        wire.arm(STATEMENT, Fate.ANSWER_LOST)
        with pytest.raises(UnavailableError, match="The request had no effect"):
            await read.call(adapter)
        await read.call(adapter)


@each_change
async def test_a_change_on_a_server_that_is_away_had_no_effect(world: World, change: Change) -> None:
    async with wired(world.url) as wire, world.adapter(wire.url) as (adapter, pool):
        wire.close()

        async def has_noticed() -> bool:
            return pool.get_size() == 0

        await eventually(has_noticed)
        with pytest.raises(UnavailableError, match="could not process a request"):
            await change.call(adapter, "real")
        assert not await world.is_done(change)


@each_change
async def test_a_change_over_its_time_is_ended_by_the_server_and_had_no_effect(world: World, change: Change) -> None:
    async with world.adapter(statement_timeout_s=1) as (adapter, _):
        async with world.locked(change.table):
            with pytest.raises(UnavailableError, match="SQLSTATE 57014"):
                await change.call(adapter, "real")
        assert not await world.is_done(change)


@each_read
async def test_a_read_over_its_time_is_unavailable(world: World, read: Read) -> None:
    async with world.adapter(statement_timeout_s=1) as (adapter, _), world.locked(read.table):
        with pytest.raises(UnavailableError, match="SQLSTATE 57014"):
            await read.call(adapter)


@each_change
@pytest.mark.parametrize("is_deferred", [False, True], ids=["at once", "in COMMIT"])
@pytest.mark.parametrize("code", ["check_violation", "raise_exception", "numeric_value_out_of_range"])
async def test_a_change_that_a_constraint_refuses_is_of_the_data_and_had_no_effect(
    world: World, change: Change, code: str, *, is_deferred: bool
) -> None:
    does = f"RAISE EXCEPTION 'That is refused.' USING ERRCODE = '{code}'"
    await world.trigger(change.table, does, is_deferred=is_deferred)
    async with world.adapter() as (adapter, _):
        with pytest.raises(DataError, match="That is refused"):
            await change.call(adapter, "real")
    assert not await world.is_done(change)


@each_change
async def test_a_change_whose_server_is_shut_down_in_commit_is_unanswered(world: World, change: Change) -> None:
    await world.trigger(change.table, "PERFORM pg_sleep(60)", is_deferred=True)
    async with world.adapter() as (adapter, _):
        changing = asyncio.create_task(change.call(adapter, "real"))

        async def is_ended() -> bool:
            return bool(
                await world.behind.fetchval(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                    "WHERE application_name = 'failing' AND wait_event = 'PgSleep' AND datname = current_database()"
                )
            )

        await eventually(is_ended)
        with pytest.raises(UnansweredError, match="terminating connection due to administrator command"):
            await changing


@each_change
async def test_a_server_that_takes_no_changes_is_unavailable_and_says_where_to_look(
    world: World, change: Change
) -> None:
    world.set_read_only()
    async with world.adapter() as (adapter, _):
        with pytest.raises(UnavailableError, match="Check that its URL names the primary"):
            await change.call(adapter, "real")
    assert not await world.is_done(change)


@each_change
async def test_a_change_that_the_role_may_not_make_is_unavailable(world: World, change: Change) -> None:
    async with world.adapter() as (adapter, pool):
        await world.behind.execute(f"GRANT USAGE ON SCHEMA {SCHEMA_BY_PACKAGE[change.package]} TO pg_monitor")
        await pool.execute("SET ROLE pg_monitor")
        with pytest.raises(UnavailableError, match="Check the role's rights"):
            await change.call(adapter, "real")
    assert not await world.is_done(change)


@each_change
async def test_a_cancelled_change_leaves_the_next_one_a_sound_connection(world: World, change: Change) -> None:
    async with world.adapter() as (adapter, _):
        async with world.locked(change.table):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await change.call(adapter, "real")
        assert not await world.is_done(change)
        await change.call(adapter, "real")
    assert await world.is_done(change)


class Unreadable(NamedTuple):
    """Unreadable data in a table or in a request."""

    package: str
    spoil: str
    call: Callable[[Any], Coroutine[Any, Any, object]]


ITEMS = ItemRange(0, 10)
UNREADABLE = {
    "an end that is no time": Unreadable(
        "order_center",
        "UPDATE orders SET after_sale_ends_at = 'infinity'",
        lambda adapter: adapter.fetch_records(["real"]),
    ),
    "an account id that parts columns": Unreadable(
        "order_center",
        "UPDATE orders SET account_id = E'a\\x1fb'",
        lambda adapter: adapter.fetch_records(["real"]),
    ),
    "such an id in a slice": Unreadable(
        "order_center",
        "UPDATE orders SET account_id = E'a\\x1fb'",
        lambda adapter: adapter.fetch_overdue_slice(NOW.replace(year=2100), None, 10),
    ),
    "a status that nobody knows": Unreadable(
        "order_center",
        "ALTER TABLE orders DROP CONSTRAINT orders_status_check; UPDATE orders SET status = 'lost'",
        lambda adapter: adapter.fetch_order("real"),
    ),
    "an id that cannot be sent": Unreadable(
        "order_center", "SELECT", lambda adapter: adapter.acknowledge([RecordVersion("a\x1fb", 1)])
    ),
    "an answer that nobody knows": Unreadable(
        "fund_platform",
        "ALTER TABLE credit_answers DROP CONSTRAINT credit_answers_result_code_check;"
        "INSERT INTO credit_answers VALUES ('real', 1, 'paid in cash', 'real', 5, 'USD')",
        lambda adapter: adapter.credits.post_credits("a test", [CreditRequest("real", 1, "real", 5, "USD")]),
    ),
    "an account id that is no text": Unreadable(
        "fund_platform", "SELECT", lambda adapter: adapter.accounts.close_account("a\0b")
    ),
    "a count out of range": Unreadable(
        "fund_platform", "SELECT", lambda adapter: adapter.proof.fetch_credits("", 2**70)
    ),
    "a state that nobody knows": Unreadable(
        "settlement_store",
        "ALTER TABLE batches DROP CONSTRAINT batches_state_check; UPDATE batches SET state = 'lost'",
        lambda adapter: adapter.batches.fetch_batch("real"),
    ),
    "an order id that parts columns": Unreadable(
        "settlement_store",
        "INSERT INTO items (batch_no, item_no, claim_no, amount_minor, order_id, account_id, currency) "
        "SELECT batch_no, 0, 1, 5, E'a\\x1fb', 'a', 'USD' FROM batches WHERE batch_id = 'real'",
        lambda adapter: adapter.chunks.fetch_pending_items("real", ITEMS),
    ),
    "a kept report that is none": Unreadable(
        "settlement_store",
        "INSERT INTO kept_reports (batch_no, report) SELECT batch_no, '{}' FROM batches WHERE batch_id = 'real'",
        lambda adapter: adapter.reports.fetch_kept_reports(["real"]),
    ),
}


@pytest.mark.parametrize("unreadable", UNREADABLE.values(), ids=UNREADABLE)
async def test_what_cannot_be_read_or_sent_is_of_the_data(world: World, unreadable: Unreadable) -> None:
    await world.behind.execute(unreadable.spoil)
    async with world.adapter() as (adapter, _):
        with pytest.raises(DataError) as told:
            await unreadable.call(adapter)
    assert "try again" in str(told.value)


async def test_a_row_of_a_committed_change_that_nobody_can_read_is_a_bug_with_an_effect(
    stack: StackState,
) -> None:
    """The caller must treat it as unanswered."""
    with lent_database(stack.database_url, "template_fund_platform") as url:
        async with await open_pool(url, schema="fund_platform", application_name="tests") as pool:
            await prepare("fund_platform", adapter := PostgresFundPlatform(pool))
            await pool.execute(
                "ALTER TABLE accounts ALTER COLUMN balance_minor TYPE text; UPDATE accounts SET balance_minor = '?'"
            )
            with pytest.raises(ValueError, match="balance_minor"):
                await adapter.accounts.close_account("real")
            assert await pool.fetchval("SELECT closed_at IS NOT NULL FROM accounts WHERE account_id = 'real'")
