"""Brokers that do not answer do not keep intake from ending."""

import asyncio
from typing import Any, cast

import pytest
from aiokafka.errors import KafkaConnectionError

from domain import limits
from messaging.record_source import RecordSource


class SilentConsumer:
    """Waits for an answer that does not come, whatever it is asked."""

    was_cancelled = False

    def subscribe(self, *_: Any, **__: Any) -> None:
        pass

    async def start(self) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise

    async def stop(self) -> None:
        await asyncio.Event().wait()


class RefusedConsumer(SilentConsumer):
    async def start(self) -> None:
        raise KafkaConnectionError


def source_of(consumer: SilentConsumer) -> RecordSource:
    return RecordSource(cast("Any", consumer), "orders.overdue")


async def test_joining_a_group_ends_when_intake_is_told_to() -> None:
    stop = asyncio.Event()
    consumer = SilentConsumer()
    joining = asyncio.create_task(source_of(consumer).start(stop))
    await asyncio.sleep(0)
    assert not joining.done()
    stop.set()
    async with asyncio.timeout(1):
        assert await joining is False
    assert consumer.was_cancelled


async def test_brokers_that_cannot_be_reached_are_told() -> None:
    with pytest.raises(KafkaConnectionError):
        await source_of(RefusedConsumer()).start(asyncio.Event())


async def test_leaving_takes_a_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "KAFKA_STOP_TIMEOUT_S", 0.01)
    async with asyncio.timeout(1):
        await source_of(SilentConsumer()).stop()
