"""The second topic on the same broker, with a few notices a second. Its consumer writes each to PostgreSQL."""

import asyncio
from pathlib import Path
from typing import NamedTuple, TypeAlias

import psycopg
from aiokafka import AIOKafkaProducer, ConsumerRecord
from psycopg.rows import TupleRow

CONSUMES = "consumes the topics"
NOTICES_PER_S = 5
_NOTICE = b"{}"
_SQL = Path(__file__).with_name("sql")
_HANDLE_NOTICE = (_SQL / "handle_notice.sql").read_bytes()
_FETCH_HANDLED_NOTICES = (_SQL / "fetch_handled_notices.sql").read_bytes()

Connection: TypeAlias = "psycopg.Connection[TupleRow]"


class Handled(NamedTuple):
    """The number of handled notices of a topic, and their delays. The delays are None if no notice was handled."""

    notice_count: int
    delay_s_median: float | None
    delay_s_max: float | None


async def send_notices(producer: AIOKafkaProducer, topic: str, notice_count: int) -> None:
    """Send notices one by one. On return the broker has acknowledged all of them."""
    for _ in range(notice_count):
        await producer.send_and_wait(topic, _NOTICE)
        await asyncio.sleep(1 / NOTICES_PER_S)


def handle_notice(connection: Connection, record: ConsumerRecord) -> None:
    """Handle a notice with one short write."""
    connection.execute(_HANDLE_NOTICE, [record.topic, record.timestamp])


def fetch_handled(connection: Connection, topic: str) -> Handled:
    """Read the number and delays of a topic's handled notices."""
    (row,) = connection.execute(_FETCH_HANDLED_NOTICES, [topic]).fetchall()
    return Handled(*row)
