"""Brokers that do not answer do not keep intake from ending."""

import asyncio
from typing import Any, cast

import pytest
from aiokafka.errors import KafkaConnectionError

from domain import limits
from messaging.record_source import RecordSource


class SilentClient:
    async def close(self) -> None:
        pass


class SilentConsumer:
    """Waits for an answer that does not come, whatever it is asked."""

    _client = SilentClient()

    async def start(self) -> None:
        await asyncio.Event().wait()

    async def stop(self) -> None:
        await asyncio.Event().wait()


class RefusedConsumer(SilentConsumer):
    async def start(self) -> None:
        raise KafkaConnectionError


def source_of(consumer: SilentConsumer) -> RecordSource:
    return RecordSource(cast("Any", consumer), "orders.overdue")


async def test_connecting_takes_a_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "KAFKA_CONNECT_TIMEOUT_S", 0.01)
    with pytest.raises(KafkaConnectionError, match=r"no answer within 0\.01 s"):
        await source_of(SilentConsumer()).start()


async def test_brokers_that_cannot_be_reached_are_told() -> None:
    with pytest.raises(KafkaConnectionError):
        await source_of(RefusedConsumer()).start()


async def test_leaving_takes_a_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "KAFKA_STOP_TIMEOUT_S", 0.01)
    async with asyncio.timeout(1):
        await source_of(SilentConsumer()).stop()
