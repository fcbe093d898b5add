"""A small copy of the design that failed: one process with one thread pool for both topics.

Each message is handed to the pool, and auto-commit commits its offset whatever becomes of the task. If the pool and
its queue are full, the task is rejected: it is logged and lost. Each order is one transaction, which reads the order
by a column without an index.

    python -m bench.incident.shared_pool BOOTSTRAP_SERVERS DATABASE_URL ORDERS_TOPIC NOTICES_TOPIC
"""

import asyncio
import logging
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psycopg
from aiokafka import AIOKafkaConsumer, ConsumerRecord

from bench.incident.notices import CONSUMES, Connection, handle_notice
from bench.incident.rejecting_pool import RejectedError, RejectingPool
from schemas.wire.events import OverdueEvent

THREAD_COUNT = 200
# With this size and 200 threads, about as many orders of the burst are rejected as in the incident (737).
QUEUE_SIZE = 4_000
REJECTED = "rejected"
FAILED = "failed"

_SQL = Path(__file__).with_name("sql")
_VALIDATE_ORDER = (_SQL / "validate_order.sql").read_bytes()
_CREDIT_ORDER = (_SQL / "credit_order.sql").read_bytes()

_log = logging.getLogger(__name__)


class _Database(threading.local):
    """One connection per thread."""

    def __init__(self, url: str) -> None:
        self.connection = psycopg.connect(url, autocommit=True, application_name="shared-pool")


async def consume(bootstrap_servers: str, database_url: str, orders_topic: str, notices_topic: str) -> None:
    """Hand all messages of both topics to one pool until the process is ended."""
    database = _Database(database_url)
    pool = RejectingPool(THREAD_COUNT, QUEUE_SIZE)
    consumer = AIOKafkaConsumer(
        orders_topic,
        notices_topic,
        bootstrap_servers=bootstrap_servers,
        group_id="shared-pool",
        enable_auto_commit=True,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    _log.info("%s %s, %s", CONSUMES, orders_topic, notices_topic)
    async for record in consumer:
        handle = _settle_order if record.topic == orders_topic else handle_notice
        try:
            pool.submit(partial(_run_task, handle, database, record))
        except RejectedError:
            _log.warning("%s %s %s: the pool and its queue are full", REJECTED, record.topic, record.offset)


def _run_task(
    handle: Callable[[Connection, ConsumerRecord], None], database: _Database, record: ConsumerRecord
) -> None:
    try:
        handle(database.connection, record)
    except psycopg.Error:
        _log.exception("%s %s %s", FAILED, record.topic, record.offset)


def _settle_order(connection: Connection, record: ConsumerRecord) -> None:
    event = OverdueEvent.model_validate_json(record.value)
    with connection.transaction():
        order = connection.execute(_VALIDATE_ORDER, [event.order_id]).fetchone()
        if order:
            connection.execute(_CREDIT_ORDER, [event.order_id, *order])


if __name__ == "__main__":
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    asyncio.run(consume(*sys.argv[1:]))
