"""`settle relay` delivers results as a user runs it."""

import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from database.pools import open_pool
from runtime.kafka import create_topics
from runtime.settings import Settings
from settlement_store.postgres import PostgresSettlementStore
from tests.contract.settlement_batches import close_batch, rejected, settle
from tests.e2e.conftest import Commands
from tests.support.results_topic import is_delivered, kept_by_reader, outcomes_of, read_told
from tests.support.settlements import eventually

ORDER_IDS = [f"O-{n:03d}" for n in range(100)]


@pytest.fixture
async def topic(kafka_settings: Settings) -> Settings:
    await create_topics(kafka_settings)
    return kafka_settings


@pytest.fixture
def relays(commands: Commands, topic: Settings) -> Commands:
    """Commands on existing topics."""
    commands.environment |= {
        "KAFKA_BOOTSTRAP_SERVERS": topic.kafka_bootstrap_servers,
        "SETTLE_TOPIC_PREFIX": topic.topic_prefix,
        "SETTLE_STACK_DIR": str(topic.stack_dir),
    }
    return commands


@pytest.fixture
async def store(commands: Commands) -> AsyncIterator[PostgresSettlementStore]:
    async with await open_pool(commands.database_url, schema="settlement", application_name="tests") as pool:
        yield PostgresSettlementStore(pool)


def events_of(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def holders(commands: Commands) -> list[tuple[str, int]]:
    """Return each relay that holds leases, and how many it holds."""
    with psycopg.connect(commands.database_url) as connection:
        return connection.execute("SELECT relay_id, count(*) FROM settlement.relay_leases GROUP BY relay_id").fetchall()


async def test_a_relay_delivers_says_so_and_gives_its_leases_back(
    relays: Commands, store: PostgresSettlementStore, topic: Settings
) -> None:
    await settle(store, ORDER_IDS, "B1", rejects=[rejected(0)])
    with relays.running("relay"):
        await eventually(lambda: is_delivered(store.outbox))
    assert set(outcomes_of(await read_told(topic)).values()) == {1}
    events = events_of(relays.directory / "relay.log")
    assert [event["event"] for event in (events[0], events[-1])] == ["relay delivers results", "relay has stopped"]
    delivered = [event for event in events if event["event"] == "results delivered"]
    assert [(event["batch_id"], event["event_count"]) for event in delivered] == [("B1", 1), ("B1", 99)]
    assert holders(relays) == []


async def test_of_two_relays_one_is_stopped_past_its_lease_and_every_outcome_is_delivered(
    relays: Commands, store: PostgresSettlementStore, topic: Settings
) -> None:
    async def share() -> bool:
        return sorted(count for _, count in holders(relays)) == [8, 8]

    with relays.running("relay", "stopped") as stopped, relays.running("relay", "other"):
        await eventually(share)
        await settle(store, ORDER_IDS, "B1", rejects=[rejected(n) for n in range(50)])
        stopped.send_signal(signal.SIGSTOP)
        try:
            await settle(store, ORDER_IDS[:50], "B2")
            assert not await is_delivered(store.outbox)
            await eventually(lambda: is_delivered(store.outbox))
        finally:
            stopped.send_signal(signal.SIGCONT)
        await eventually(share)
        await settle(store, ["O-last"], "B3")
        await eventually(lambda: is_delivered(store.outbox))
    told = await read_told(topic)
    expected = {
        *((order_id, 1, "rejected", "ORDER_DISPUTED") for order_id in ORDER_IDS[:50]),
        *((order_id, 2, "settled", None) for order_id in ORDER_IDS[:50]),
        *((order_id, 1, "settled", None) for order_id in (*ORDER_IDS[50:], "O-last")),
    }
    assert set(outcomes_of(told)) == expected
    kept = kept_by_reader(told)
    assert {event.outcome for event in kept.values()} == {"settled"}
    assert len(kept) == len(ORDER_IDS) + 1


async def test_a_relay_outlives_postgresql_that_drops_its_connections(
    relays: Commands, store: PostgresSettlementStore, topic: Settings
) -> None:
    with relays.running("relay"):

        async def holds() -> bool:
            return bool(holders(relays))

        await eventually(holds)
        with psycopg.connect(relays.database_url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND application_name = 'settle'"
            )
        await settle(store, ORDER_IDS, "B1")
        await eventually(lambda: is_delivered(store.outbox))
    assert len(kept_by_reader(await read_told(topic))) == len(ORDER_IDS)
    events = events_of(relays.directory / "relay.log")
    assert events[-1]["event"] == "relay has stopped"


async def test_a_batch_is_pruned_once_its_results_are_delivered(
    relays: Commands, store: PostgresSettlementStore
) -> None:
    await settle(store, ORDER_IDS, "B1", rejects=[rejected(n) for n in range(100)])
    await close_batch(store, "B1")
    with psycopg.connect(relays.database_url) as connection:
        connection.execute("UPDATE settlement.batches SET closed_at = closed_at - interval '2 days'")
    relays.environment["SETTLE_RETENTION_DAYS"] = "1"
    told = relays.ok("prune")
    assert "Batch B1 keeps its items: its results are not all delivered yet. Run: settle relay\n" in told
    assert "Pruned 0 items" in told
    with relays.running("relay"):
        await eventually(lambda: is_delivered(store.outbox))
    assert "Pruned 100 items" in relays.ok("prune")
