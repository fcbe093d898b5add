"""`settle order` explains the whole life of an order to a person who asks why it was not paid."""

import csv
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from database.pools import open_pool
from domain.identifiers import credit_key
from fund_platform.postgres import PostgresFundPlatform
from schemas.ledger import AccountOpening, CreditRequest
from schemas.next_steps import AUDIT
from schemas.order_life import OrderLife
from settlement_store.port import SettlementStore
from settlement_store.postgres import PostgresSettlementStore
from tests.contract.settlement_batches import orders_of, run_chunk
from tests.e2e.conftest import Commands
from tests.support.databases import DatabaseUrls

ORDER_COUNT = 60
TERMINAL_WIDTH = 80
DUE_MINOR_MAX = 100_000  # far below the limit of every currency

Row = dict[str, str]


def import_sample(commands: Commands) -> list[Row]:
    commands.ok("sample", "orders.csv", "--orders", str(ORDER_COUNT), "--seed", "7", "--bad-rate", "0.3")
    commands.ok("import", "orders.csv")
    with (commands.directory / "orders.csv").open() as file:
        return list(csv.DictReader(file))


def first_with(rows: list[Row], status: str) -> Row:
    return next(row for row in rows if row["status"] == status and 0 < due_minor_of(row) < DUE_MINOR_MAX)


def import_changed(commands: Commands, row: Row, **changes: str) -> None:
    path = Path(commands.directory / "changed.csv")
    with path.open("w") as file:
        writer = csv.DictWriter(file, row)
        writer.writeheader()
        writer.writerow(row | changes)
    commands.ok("import", path.name)


def life_of(commands: Commands, order_id: str) -> OrderLife:
    finished = commands.run("order", order_id, "--json")
    assert (finished.returncode, finished.stderr) == (0, "")
    return OrderLife.model_validate(json.loads(finished.stdout))


def told_of(commands: Commands, order_id: str) -> str:
    """Return the command's output with its lines joined."""
    return " ".join(commands.ok("order", order_id).split())


def fates_of(life: OrderLife) -> list[tuple[int, str, str | None]]:
    return [(item.claim_no, item.outcome, item.reason_code) for item in life.items]


def due_minor_of(row: Row) -> int:
    return int(row["paid_minor"]) - int(row["refunded_minor"])


def money_of(row: Row) -> str:
    return f"{due_minor_of(row):,} minor units of {row['currency']}"


def test_an_order_is_told_from_before_its_batch_to_its_credit(commands: Commands) -> None:
    row = first_with(import_sample(commands), "completed")
    order_id, account_id = row["order_id"], row["account_id"]
    before = told_of(commands, order_id)
    assert before.startswith(f"Order {order_id} is in the Order Center but was never taken into a batch. It is offered")
    assert row["after_sale_ends_at"][:10] in before

    commands.ok("run", "--batch-id", "order-told")
    assert life_of(commands, order_id).items == []
    with commands.worker():
        commands.ok("run", "--batch-id", "order-told", "--wait")
    life = life_of(commands, order_id)
    [posting] = life.credit.postings
    assert posting.posted_at
    assert life.answer == (
        f"Order {order_id} was settled in batch order-told: {money_of(row)} credited to account {account_id} "
        f"on {posting.posted_at:%Y-%m-%d %H:%M:%S} UTC."
    )
    assert (life.next_step, life.breaks, life.conflicts) == (None, [], [])
    assert fates_of(life) == [(1, "settled", None)]
    assert life.order
    assert not life.order.is_offered
    assert life.credit.answer
    assert life.credit.answer.claim_no == 1
    assert posting.reference == "order-told.chunk-000000"
    told = commands.ok("order", order_id)
    assert told.splitlines()[0] == life.answer
    assert "order-told.chunk-000000" in told
    assert all(len(line) <= TERMINAL_WIDTH and line == line.rstrip() for line in told.splitlines()[1:])


def test_a_rejected_order_that_is_repaired_and_rerun_shows_both_its_lives(commands: Commands) -> None:
    row = first_with(import_sample(commands), "disputed")
    order_id = row["order_id"]
    with commands.worker():
        commands.ok("run", "--wait", "--batch-id", "order-repaired")
        rejected = told_of(commands, order_id)
        assert rejected.startswith(
            f"Order {order_id} was rejected in batch order-repaired: The customer disputes the order. It comes in "
            "again when its record changes. Or repair the cause and rerun it. Run: settle rerun order-repaired"
        )
        import_changed(commands, row, status="completed")
        assert "It is offered to the first run whose cutoff is after" in told_of(commands, order_id)
        commands.ok("rerun", "order-repaired", "--reason", "ORDER_DISPUTED", "--wait")
    life = life_of(commands, order_id)
    assert fates_of(life) == [(1, "rejected", "ORDER_DISPUTED"), (2, "settled", None)]
    assert (life.items[0].batch_id, life.items[1].batch_source) == ("order-repaired", "rerun")
    assert f"was settled in batch {life.items[1].batch_id}: {money_of(row)}" in life.answer
    told = told_of(commands, order_id)
    assert "Item 1 of 2 batch order-repaired (closed)" in told
    assert "Item 2 of 2" in told


def test_a_conflicting_offer_is_shown_with_what_was_offered(commands: Commands) -> None:
    row = first_with(import_sample(commands), "completed")
    order_id = row["order_id"]
    with commands.worker():
        commands.ok("run", "--wait", "--batch-id", "order-offered")
        changed = {"paid_minor": str(int(row["paid_minor"]) + 1)}
        import_changed(commands, row, **changed)
        commands.ok("run", "--wait", "--batch-id", "order-offered-again")
    life = life_of(commands, order_id)
    [conflict] = life.conflicts
    assert conflict.batch_id == "order-offered-again"
    assert "was settled in batch order-offered" in life.answer
    assert f"Conflicting offer batch order-offered-again offered {money_of(row | changed)}" in told_of(
        commands, order_id
    )


@pytest.fixture
async def store(commands: Commands) -> AsyncIterator[SettlementStore]:
    async with await open_pool(commands.database_url, schema="settlement", application_name="tests") as pool:
        yield PostgresSettlementStore(pool)


async def hold(store: SettlementStore) -> None:
    """Make batch B1 with one order whose credit may exist and whose record does not."""
    await run_chunk(store, orders_of("O1"))
    await store.chunks.store_validation("B1", 0, [])
    await store.chunks.hold_chunk("B1", 0, "the chunk's workflow was terminated")


async def credit(commands: Commands, order_id: str, **changes: Any) -> None:
    async with await open_pool(commands.database_url, schema="fund_platform", application_name="tests") as pool:
        fund_platform = PostgresFundPlatform(pool)
        await fund_platform.accounts.open_accounts([AccountOpening("A1", "USD")])
        request = CreditRequest(credit_key(order_id), 1, "A1", 100, "USD")
        await fund_platform.credits.post_credits("B1.chunk-000000", [request._replace(**changes)])


async def test_a_held_order_says_that_its_credit_may_exist_and_how_to_find_out(
    commands: Commands, store: SettlementStore
) -> None:
    await hold(store)
    held = told_of(commands, "O1")
    assert held.startswith("Order O1 is held in batch B1: A credit was possibly requested")
    assert "paid twice. Run: settle rerun B1 Order Center record none" in held
    assert "detail the chunk's workflow was terminated" in held
    await credit(commands, "O1")
    assert "The ledger holds this credit: 100 minor units of USD credited to account A1" in told_of(commands, "O1")


async def test_systems_that_contradict_each_other_are_said_to(commands: Commands, store: SettlementStore) -> None:
    await run_chunk(store, orders_of("O1"))
    await store.chunks.store_validation("B1", 0, [])
    await store.chunks.store_outcomes("B1", 0, [])
    told = commands.ok("order", "O1").splitlines()
    assert told[:3] == [
        "The systems contradict each other about order O1.",
        "  settled_without_credit O1: In batch B1 it is settled with 100 minor units of USD for account A1. "
        "The ledger has no credit credit:O1.",
        "Run: settle audit",
    ]


async def test_a_credit_that_no_batch_knows_is_a_contradiction(commands: Commands) -> None:
    await credit(commands, "O1")
    life = life_of(commands, "O1")
    assert life.next_step == AUDIT
    assert [(found.kind, found.id) for found in life.breaks] == [("credit_without_item", "credit:O1")]


def test_an_order_that_no_system_knows_is_a_wrong_call(commands: Commands) -> None:
    import_sample(commands)
    for json_option in ([], ["--json"]):
        finished = commands.run("order", "nobody's", *json_option)
        assert (finished.returncode, finished.stdout) == (2, "")
        assert finished.stderr.startswith("settle: Order nobody's was not found")


def test_each_system_is_read_where_it_is(commands: Commands, databases: DatabaseUrls) -> None:
    commands.environment |= {
        "SETTLE_DATABASE_URL": databases.settlement_store,
        "SETTLE_ORDER_CENTER_URL": databases.order_center,
        "SETTLE_FUND_PLATFORM_URL": databases.fund_platform,
    }
    order_id = import_sample(commands)[0]["order_id"]
    assert life_of(commands, order_id).order
