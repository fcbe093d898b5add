"""The behaviour of Apache Kafka that Settle relies on, and the broker of these tests."""

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from domain import limits
from local_stack.ports import accepts_connections
from runtime.kafka import create_topics, open_producer
from runtime.settings import Settings
from tests.apache_kafka.broker import ApacheKafka
from tests.apache_kafka.errors import ApacheKafkaError
from tests.support.intakes import no_client_is_left
from tests.support.settlements import eventually

RECORD_COUNT = 1_000
ANSWER_TIMEOUT_MS = 1_000


async def read_all(settings: Settings) -> Counter[bytes]:
    """Return the values on the topic of overdue orders, and how often each is there."""
    topic = settings.topics.overdue
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=settings.kafka_bootstrap_servers, auto_offset_reset="earliest")
    await consumer.start()
    values: Counter[bytes] = Counter()
    try:
        ends = await consumer.end_offsets([TopicPartition(topic, n) for n in consumer.partitions_for_topic(topic)])
        while values.total() < sum(ends.values()):
            for records in (await consumer.getmany(timeout_ms=ANSWER_TIMEOUT_MS)).values():
                values.update(record.value for record in records)
    finally:
        await consumer.stop()
    return values


def values_from(start: int) -> list[bytes]:
    return [str(number).encode() for number in range(start, start + RECORD_COUNT)]


async def send_all(producer: AIOKafkaProducer, settings: Settings, values: list[bytes]) -> None:
    """Send the values and wait until each is acknowledged."""
    await asyncio.gather(*[await producer.send(settings.topics.overdue, value) for value in values])


@pytest.mark.parametrize("end", [ApacheKafka.kill, ApacheKafka.stop])
async def test_what_was_acknowledged_survives_the_end_of_the_broker(
    own_apache_kafka: ApacheKafka, own_kafka_settings: Settings, end: Callable[[ApacheKafka], None]
) -> None:
    await create_topics(own_kafka_settings)
    async with open_producer(own_kafka_settings, idempotent=True) as producer:
        await send_all(producer, own_kafka_settings, values_from(0))
        end(own_apache_kafka)
        own_apache_kafka.start()
        # The same producer continues, because the address is the same.
        await send_all(producer, own_kafka_settings, values_from(RECORD_COUNT))
    assert await read_all(own_kafka_settings) == Counter(values_from(0) + values_from(RECORD_COUNT))


async def test_a_record_whose_acknowledgement_was_lost_is_there_once(
    own_apache_kafka: ApacheKafka, own_kafka_settings: Settings
) -> None:
    """The producer sends the record again. Apache Kafka recognises it by the producer's id and the record's number."""
    await create_topics(own_kafka_settings)
    async with open_producer(own_kafka_settings, idempotent=True) as producer:
        await send_all(producer, own_kafka_settings, values_from(0))
        own_apache_kafka.pause()
        sending = asyncio.create_task(send_all(producer, own_kafka_settings, [b"sent twice"]))
        await eventually(lambda: has_request_in_flight(producer))
        for connection in producer.client._conns.values():
            connection.close()
        own_apache_kafka.resume()
        await sending
    assert await read_all(own_kafka_settings) == Counter([*values_from(0), b"sent twice"])


@pytest.mark.parametrize("idempotent", [True, False])
async def test_a_producer_stopped_with_records_in_hand_is_gone_once_the_broker_is_back(
    own_apache_kafka: ApacheKafka, own_kafka_settings: Settings, monkeypatch: pytest.MonkeyPatch, *, idempotent: bool
) -> None:
    monkeypatch.setattr(limits, "KAFKA_STOP_TIMEOUT_S", 1)
    await create_topics(own_kafka_settings)
    async with open_producer(own_kafka_settings, idempotent=idempotent) as producer:
        await send_all(producer, own_kafka_settings, values_from(0))
        own_apache_kafka.pause()
        await producer.send(own_kafka_settings.topics.overdue, b"unsent")
    assert not await no_client_is_left()
    own_apache_kafka.resume()
    await eventually(no_client_is_left)


async def has_request_in_flight(producer: AIOKafkaProducer) -> bool:
    return any(connection._requests for connection in producer.client._conns.values())


@asynccontextmanager
async def static_member(settings: Settings) -> AsyncIterator[AIOKafkaConsumer]:
    """Return the only member of its group, with its partitions."""
    consumer = AIOKafkaConsumer(
        settings.topics.overdue,
        bootstrap_servers=settings.kafka_bootstrap_servers,
        group_id=settings.topics.intake_group,
        group_instance_id="intake-1",
    )
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


async def test_a_static_member_that_comes_back_has_its_partitions_without_a_rebalance(
    kafka_settings: Settings,
) -> None:
    await create_topics(kafka_settings)
    async with static_member(kafka_settings) as consumer:
        before = consumer.assignment(), consumer._coordinator.generation
    async with static_member(kafka_settings) as consumer:
        assert (consumer.assignment(), consumer._coordinator.generation) == before
    assert len(before[0]) > 1


async def test_a_paused_broker_answers_nobody_until_it_is_resumed(
    own_apache_kafka: ApacheKafka, own_kafka_settings: Settings
) -> None:
    own_apache_kafka.pause()
    consumer = AIOKafkaConsumer(
        bootstrap_servers=own_kafka_settings.kafka_bootstrap_servers, request_timeout_ms=ANSWER_TIMEOUT_MS
    )
    with pytest.raises(KafkaError):
        await consumer.start()
    await consumer.stop()
    own_apache_kafka.resume()
    assert await create_topics(own_kafka_settings) == list(own_kafka_settings.topics.all)


async def test_a_topic_is_not_made_by_being_written_to(kafka_settings: Settings) -> None:
    async with open_producer(kafka_settings, idempotent=True) as producer:
        producer.client._request_timeout_ms = ANSWER_TIMEOUT_MS
        with pytest.raises(KafkaError):
            await producer.send_and_wait(kafka_settings.topics.overdue, b"nowhere")


def test_a_broker_that_cannot_start_says_why_and_leaves_nothing_running(own_apache_kafka: ApacheKafka) -> None:
    host, port = own_apache_kafka.bootstrap_servers.split(":")
    own_apache_kafka.kill()
    with socket.create_server((host, int(port))), pytest.raises(ApacheKafkaError, match=r"exit code 1.*in use"):
        own_apache_kafka.start()
    assert not accepts_connections(int(port))
