"""A consumer of the second topic in its own process. It shares no pool with Settle's intake.

python -m bench.incident.notice_consumer BOOTSTRAP_SERVERS DATABASE_URL NOTICES_TOPIC
"""

import asyncio
import logging
import sys

import psycopg
from aiokafka import AIOKafkaConsumer

from bench.incident.notices import CONSUMES, handle_notice

_log = logging.getLogger(__name__)


async def consume(bootstrap_servers: str, database_url: str, topic: str) -> None:
    """Handle one notice after another until the process is ended."""
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=bootstrap_servers, group_id="notices", auto_offset_reset="earliest"
    )
    await consumer.start()
    _log.info("%s %s", CONSUMES, topic)
    with psycopg.connect(database_url, autocommit=True, application_name="notices") as connection:
        async for record in consumer:
            handle_notice(connection, record)


if __name__ == "__main__":
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    asyncio.run(consume(*sys.argv[1:]))
