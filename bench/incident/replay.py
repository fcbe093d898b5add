"""`make incident`: send the same burst, slow to read at first, to the design that failed and then to Settle.

Exits with 1 if Settle rejected or lost an order or paid one twice, or if the design that failed did not fail.
"""

import asyncio
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from bench.fresh_stack import fresh_stack, run_settle, say
from bench.incident.comparison import find_problems, print_comparison
from bench.incident.failed_design import FailedDesign, running_failed_design
from bench.incident.morning import Morning, live_through
from bench.incident.settle_design import SettleDesign, running_settle
from domain import limits
from messaging.announcing import plan_events
from runtime.kafka import connection_arguments
from runtime.settings import Settings
from schemas.wire.events import OverdueEvent
from settling.importing.order_file import open_order_file

INCIDENT_DIR = Path(".settle/incident")
RESULT_FILE = Path(".settle/incident.json")
ORDER_COUNT = 5_000
SAMPLE_SEED = 1
_MAKE_SLOW_ORDERS = (Path(__file__).with_name("sql") / "slow_orders.sql").read_bytes()


def main() -> None:
    """Replay the incident and print the comparison."""
    RESULT_FILE.unlink(missing_ok=True)
    with fresh_stack(INCIDENT_DIR) as settings:
        failed, settle = asyncio.run(_replay(settings))
    RESULT_FILE.write_text(json.dumps({"failed_design": failed._asdict(), "settle": settle._asdict()}, indent=2) + "\n")
    print_comparison(failed, settle)
    say(f"All figures: {RESULT_FILE}.")
    problems = find_problems(failed, settle)
    for problem in problems:
        say(f"PROBLEM: {problem}")
    sys.exit(1 if problems else 0)


async def _replay(settings: Settings) -> tuple[Morning, Morning]:
    events = _import_orders(settings)
    await _create_topics(settings)
    say(f"{len(events):,} orders, one message each, for the design that failed …")
    async with running_failed_design(settings, INCIDENT_DIR / "logs") as failed_design:
        failed = await live_through(settings, failed_design, events)
    say("… and for Settle.")
    async with running_settle(settings, INCIDENT_DIR / "logs") as settle_design:
        settle = await live_through(settings, settle_design, events)
    return failed, settle


def _import_orders(settings: Settings) -> list[OverdueEvent]:
    """Import good orders, replace their table by the slow view, and return the orders' events."""
    path = INCIDENT_DIR / "orders.csv"
    run_settle("sample", str(path), "--orders", str(ORDER_COUNT), "--seed", str(SAMPLE_SEED), "--bad-rate", "0")
    run_settle("import", str(path))
    with psycopg.connect(settings.database_url) as connection:
        connection.execute(_MAKE_SLOW_ORDERS)
    with open_order_file(path) as order_file:
        records = [record for part in order_file.read_slices() for record in part.records]
    return plan_events(records, datetime.now(UTC))


async def _create_topics(settings: Settings) -> None:
    """Create the topics that `settle migrate` does not create."""
    names = (FailedDesign.orders_topic, FailedDesign.notices_topic, SettleDesign.notices_topic)
    admin = AIOKafkaAdminClient(**connection_arguments(settings))
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, limits.TOPIC_PARTITION_COUNT, 1) for name in names])
    finally:
        await admin.close()


if __name__ == "__main__":
    main()
