"""`settle migrate` creates the topics on either broker."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from domain import limits
from runtime.kafka import create_topics
from runtime.settings import Settings
from tests.support.settlements import eventually


@asynccontextmanager
async def admin_client(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap_servers)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def partition_counts(settings: Settings) -> dict[str, int]:
    """Return the partition counts by topic, once the broker reports all topics. Apache Kafka lags with new ones."""

    async def fetch() -> dict[str, int]:
        async with admin_client(settings) as admin:
            told = await admin.describe_topics(list(settings.topics.all))
        counts = {topic["topic"]: len(topic["partitions"]) for topic in told}
        return counts if all(counts.values()) else {}

    return await eventually(fetch)


async def test_the_topics_are_created_once(kafka_settings: Settings) -> None:
    assert await create_topics(kafka_settings) == list(kafka_settings.topics.all)
    assert await create_topics(kafka_settings) == []
    expected = dict.fromkeys(kafka_settings.topics.all, limits.TOPIC_PARTITION_COUNT)
    assert await partition_counts(kafka_settings) == expected


async def test_a_topic_that_is_there_stays_as_it_is(kafka_settings: Settings) -> None:
    overdue, *others = kafka_settings.topics.all
    partition_count = limits.TOPIC_PARTITION_COUNT + 1
    async with admin_client(kafka_settings) as admin:
        await admin.create_topics([NewTopic(overdue, partition_count, 1)])
    assert await create_topics(kafka_settings) == others
    assert (await partition_counts(kafka_settings))[overdue] == partition_count


async def test_installations_with_another_prefix_share_no_topic(kafka_settings: Settings) -> None:
    other = kafka_settings.model_copy(update={"topic_prefix": f"other-{kafka_settings.topic_prefix}"})
    await create_topics(kafka_settings)
    assert await create_topics(other) == list(other.topics.all)
    assert set(other.topics.all).isdisjoint(kafka_settings.topics.all)
