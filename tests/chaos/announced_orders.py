"""The orders of a round with their expected outcomes, and their announcements.

The announcements are spread over the round. Some orders are announced twice, and there are malformed records.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from domain.identifiers import credit_key
from domain.order_rules import due_minor_of
from messaging.announcing import plan_events
from runtime.kafka import connection_arguments
from runtime.settings import Settings
from schemas.wire.reasons import Outcome
from settling.systems import Systems
from starters.sample_orders import SampleOrder, plan_sample_orders
from tests.support.settlements import NOW, load_orders

BAD_RATE = 0.05
TWICE_RATE = 0.03
MALFORMED_COUNT = 100
SLICE_COUNT = 150
ANNOUNCE_S = 45.0
ACKNOWLEDGE_TIMEOUT_S = 8

Record = tuple[bytes, bytes]


class Credit(NamedTuple):
    """An order's credit in the ledger."""

    account_id: str
    amount_minor: int
    currency: str


class Orders(NamedTuple):
    """A round's orders and records, with the expected outcomes."""

    sample: Sequence[SampleOrder]
    records: list[Record]
    """The announced records, in order."""
    malformed: frozenset[bytes]
    """The values of the records that are not events."""

    @property
    def outcomes(self) -> dict[str, tuple[str, str | None]]:
        """The expected outcome and reason of each order, by order id."""
        return {
            record.order_id: (Outcome.REJECTED.value, reason.value) if reason else (Outcome.SETTLED.value, None)
            for record, reason in self.sample
        }

    @property
    def credits(self) -> dict[str, Credit]:
        """The expected credits in the ledger, by idempotency key."""
        return {
            credit_key(record.order_id): Credit(
                record.account_id, due_minor_of(record.paid_minor, record.refunded_minor), record.currency
            )
            for record, reason in self.sample
            if not reason
        }

    @property
    def balances(self) -> dict[str, int]:
        """The expected balances of the credited accounts, by account id."""
        balances: defaultdict[str, int] = defaultdict(int)
        for credit in self.credits.values():
            balances[credit.account_id] += credit.amount_minor
        return dict(balances)


def plan_orders(seed: int, order_count: int) -> Orders:
    """Plan a round's orders and records from its seed alone."""
    dice = random.Random(seed)
    sample = list(plan_sample_orders(order_count, round(order_count * BAD_RATE), "C-", dice))
    events = plan_events([order.record for order in sample], NOW)
    records = [(event.order_id.encode(), event.model_dump_json().encode()) for event in events]
    records += dice.sample(records, round(order_count * TWICE_RATE))
    malformed = frozenset(f'{{"malformed": {number}}}'.encode() for number in range(MALFORMED_COUNT))
    records += [(b"malformed", value) for value in sorted(malformed)]
    dice.shuffle(records)
    return Orders(sample, records, malformed)


async def load(systems: Systems, orders: Orders) -> None:
    """Load the orders' records into the Order Center and open their accounts."""
    await load_orders(systems, [order.record for order in orders.sample])


async def announce_over_time(settings: Settings, orders: Orders) -> None:
    """Announce the orders in slices over `ANNOUNCE_S`. Unacknowledged records are sent again, so some arrive twice."""
    loop = asyncio.get_running_loop()
    started_s = loop.time()
    size = -(-len(orders.records) // SLICE_COUNT)
    producer = AIOKafkaProducer(
        **connection_arguments(settings), acks="all", request_timeout_ms=ACKNOWLEDGE_TIMEOUT_S * 1_000
    )
    await producer.start()
    try:
        for number in range(SLICE_COUNT):
            await asyncio.sleep(started_s + number * ANNOUNCE_S / SLICE_COUNT - loop.time())
            await _send(producer, settings.topics.overdue, orders.records[number * size : (number + 1) * size])
    finally:
        await producer.stop()


async def _send(producer: AIOKafkaProducer, topic: str, records: Sequence[Record]) -> None:
    """Send records until all are acknowledged."""
    left = list(records)
    while left:
        sent: list[Any] = [await producer.send(topic, value, key=key) for key, value in left]
        answers = await asyncio.gather(*sent, return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, KafkaError):
                raise answer
        left = [record for record, answer in zip(left, answers, strict=True) if isinstance(answer, KafkaError)]
