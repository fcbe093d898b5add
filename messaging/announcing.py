"""Announce overdue orders on Kafka, as the Order Center does: one event an order, with the order's id as key."""

import asyncio
import uuid
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from aiokafka import AIOKafkaProducer

from domain import limits
from domain.order_rules import due_minor_of
from schemas.orders import OrderRecord
from schemas.wire.events import OverdueEvent

_EVENT_NAMESPACE = uuid.UUID("6b0b0f5e-8d3e-5d5a-9a52-0d8f1a3c7e11")


def plan_events(records: Iterable[OrderRecord], overdue_at: datetime) -> list[OverdueEvent]:
    """Return an event for each record whose after-sale period is over, whatever its status.

    Equal records give equal events.
    """
    return [_event_of(record) for record in records if record.after_sale_ends_at < overdue_at]


async def announce(producer: AIOKafkaProducer, topic: str, events: Iterable[OverdueEvent]) -> None:
    """Send events. On return all are acknowledged. Not atomic: after an error some may have been sent.

    Raises:
        KafkaError: an event was refused.
        TimeoutError: not all were acknowledged in time.
    """
    async with asyncio.timeout(limits.KAFKA_SEND_TIMEOUT_S):
        sent: list[Any] = [
            await producer.send(topic, key=event.order_id.encode(), value=event.model_dump_json().encode())
            for event in events
        ]
        await asyncio.gather(*sent)


def _event_of(record: OrderRecord) -> OverdueEvent:
    amount_minor = due_minor_of(record.paid_minor, record.refunded_minor)
    said = f"{record.order_id}\n{record.account_id}\n{amount_minor}\n{record.currency}\n{record.after_sale_ends_at}"
    return OverdueEvent(
        schema_version=1,
        event_id=str(uuid.uuid5(_EVENT_NAMESPACE, said)),
        order_id=record.order_id,
        account_id=record.account_id,
        amount_minor=amount_minor,
        currency=record.currency,
        after_sale_ends_at=record.after_sale_ends_at,
    )
