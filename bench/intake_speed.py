"""`make bench-intake`: compare `settle intake` with the bare bound, from topic to durable items, on Apache Kafka.

The bound reads the same topic with the same decoding and copies the orders into tables with the columns and indexes of
items and claims. It does not look for existing orders and maintains no batches and no totals. Both commit their
offsets. Runs alternate, each with its own topic, consumer group and database. Prints every run and the medians, and
writes `.settle/bench-intake.json`.
"""

import argparse
import asyncio
import json
import random
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition

from bench.databases import clone_database, drop_database
from bench.fresh_stack import fresh_stack, say
from domain import limits
from messaging.announcing import announce, plan_events
from messaging.dead_letter import header_values
from messaging.decoding import decode_record
from runtime.adapters import open_settlement_store
from runtime.kafka import build_intake_consumer, create_topics, open_producer
from runtime.settings import Settings
from schemas.wire.events import OverdueEvent
from settlement_store.port import SettlementStore
from starters.sample_orders import plan_sample_orders
from tests.apache_kafka.broker import ApacheKafka
from workers.intake import serve_intake

BENCH_DIR = Path(".settle/bench-intake")
RESULT_FILE = Path(".settle/bench-intake.json")
SAMPLE_SEED = 1
BAD_RATE = 0.02
SEND_SLICE = 5_000
_POLL_INTERVAL_S = 0.01
_RUN_TIMEOUT_S = 300
_MAKE_BOUND_TABLES = """
CREATE TABLE settlement.bound_items (LIKE settlement.items INCLUDING ALL);
CREATE TABLE settlement.bound_claims (LIKE settlement.claims INCLUDING ALL);
"""

Run = Callable[[Settings, int], Awaitable[float]]


def main() -> None:
    """Run the pairs, print the medians and write the file."""
    parser = argparse.ArgumentParser(prog="make bench-intake", description=__doc__)
    parser.add_argument("--orders", type=int, default=100_000)
    parser.add_argument("--pairs", type=int, default=5)
    arguments = parser.parse_args()
    with fresh_stack(BENCH_DIR) as settings:
        directory = BENCH_DIR / "apache-kafka"
        directory.mkdir()
        with ApacheKafka(directory) as kafka:
            settings = settings.model_copy(update={"kafka_bootstrap_servers": kafka.bootstrap_servers})
            result = asyncio.run(_measure(settings, arguments.orders, arguments.pairs))
    RESULT_FILE.write_text(json.dumps(result, indent=2) + "\n")
    say(
        f"Medians of {arguments.pairs}: intake {result['intake_orders_per_s']:,} orders/s, "
        f"bare bound {result['bound_orders_per_s']:,} orders/s, ratio {result['intake_of_bound']:.2f}. "
        f"All figures: {RESULT_FILE}"
    )


async def _measure(settings: Settings, order_count: int, pair_count: int) -> dict[str, object]:
    sample = plan_sample_orders(order_count, round(order_count * BAD_RATE), "B-", random.Random(SAMPLE_SEED))
    records = [order.record for order in sample]
    events = plan_events(records, max(record.after_sale_ends_at for record in records).replace(year=2100))
    runs: dict[str, Run] = {"bound": _run_bound, "intake": _run_intake}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for pair in range(pair_count):
        for name, run in runs.items():
            mine = await _prepare(settings, f"{name}-{pair}", events)
            seconds[name].append(await run(mine, order_count))
            drop_database(mine.database_url)
            say(f"pair {pair}: {name} {order_count / seconds[name][-1]:,.0f} orders/s")
    bound_s, intake_s = (statistics.median(seconds[name]) for name in ("bound", "intake"))
    return {
        "orders": order_count,
        "partitions": limits.TOPIC_PARTITION_COUNT,
        "bound_s": seconds["bound"],
        "intake_s": seconds["intake"],
        "bound_orders_per_s": round(order_count / bound_s),
        "intake_orders_per_s": round(order_count / intake_s),
        "intake_of_bound": bound_s / intake_s,
    }


async def _prepare(settings: Settings, name: str, events: list[OverdueEvent]) -> Settings:
    """Create this run's own database and a topic with all events, and return the settings for them."""
    url = await asyncio.to_thread(clone_database, settings.database_url, name)
    mine = settings.model_copy(update={"database_url": url, "topic_prefix": f"{name}.", "task_queue": name})
    await create_topics(mine)
    async with open_producer(mine, idempotent=False) as producer:
        for start in range(0, len(events), SEND_SLICE):
            await announce(producer, mine.topics.overdue, events[start : start + SEND_SLICE])
    return mine


async def _run_intake(settings: Settings, order_count: int) -> float:
    """Return the seconds from the consumer's start until all orders are items."""
    stop = asyncio.Event()
    async with asyncio.timeout(_RUN_TIMEOUT_S), open_settlement_store(settings) as store:
        started_s = time.perf_counter()
        serving = asyncio.create_task(serve_intake(settings, store, stop))
        await _until_items(store, order_count)
        took_s = time.perf_counter() - started_s
        stop.set()
        await serving
    return took_s


async def _until_items(store: SettlementStore, order_count: int) -> None:
    while True:
        batches = await store.batches.fetch_batches(limits.BATCH_LIST_COUNT_MAX)
        if sum(batch.item_count for batch in batches) >= order_count:
            return
        await asyncio.sleep(_POLL_INTERVAL_S)


async def _run_bound(settings: Settings, order_count: int) -> float:
    """Return the seconds from the consumer's start until all orders are copied and committed."""
    connection = await asyncpg.connect(settings.database_url)
    await connection.execute(_MAKE_BOUND_TABLES)
    consumer: AIOKafkaConsumer = build_intake_consumer(settings)
    consumer.subscribe([settings.topics.overdue])
    copied_count = 0
    started_s = time.perf_counter()
    await consumer.start()
    try:
        async with asyncio.timeout(_RUN_TIMEOUT_S):
            while copied_count < order_count:
                copied_count += await _copy_some(connection, consumer, copied_count)
        return time.perf_counter() - started_s
    finally:
        await consumer.stop()
        await connection.close()


async def _copy_some(connection: "asyncpg.Connection[asyncpg.Record]", consumer: AIOKafkaConsumer, start: int) -> int:
    polled = await consumer.getmany(timeout_ms=500, max_records=limits.INTAKE_RECORD_COUNT_MAX)
    records = [record for records in polled.values() for record in records]
    orders = [
        each.order
        for record in records
        for each in decode_record(record.key, record.value, header_values(record.headers)).announcements
    ]
    async with connection.transaction():
        await connection.copy_records_to_table(
            "bound_items",
            schema_name="settlement",
            columns=["batch_no", "item_no", "claim_no", "amount_minor", "order_id", "account_id", "currency"],
            records=[
                (1, item_no, 1, order.amount_minor, order.order_id, order.account_id, order.currency)
                for item_no, order in enumerate(orders, start)
            ],
        )
        await connection.copy_records_to_table(
            "bound_claims",
            schema_name="settlement",
            columns=["order_id", "batch_no", "item_no", "claim_no", "is_held"],
            records=[(order.order_id, 1, item_no, 1, True) for item_no, order in enumerate(orders, start)],
        )
    ends = {TopicPartition(record.topic, record.partition): record.offset + 1 for record in records}
    if ends:
        await consumer.commit(ends)
    return len(orders)


if __name__ == "__main__":
    main()
