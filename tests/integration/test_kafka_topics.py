"""`settle migrate` creates the topics, on either broker."""

from aiokafka.admin import AIOKafkaAdminClient

from domain import limits
from runtime.kafka import create_topics
from runtime.settings import Settings


async def partition_counts(settings: Settings) -> dict[str, int]:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap_servers)
    await admin.start()
    try:
        told = await admin.describe_topics(list(settings.topics.all))
    finally:
        await admin.close()
    return {topic["topic"]: len(topic["partitions"]) for topic in told}


async def test_the_topics_are_created_once(kafka_settings: Settings) -> None:
    assert await create_topics(kafka_settings) == list(kafka_settings.topics.all)
    assert await create_topics(kafka_settings) == []
    expected = dict.fromkeys(kafka_settings.topics.all, limits.TOPIC_PARTITION_COUNT)
    assert await partition_counts(kafka_settings) == expected


async def test_only_the_missing_topic_is_created_again(kafka_settings: Settings) -> None:
    await create_topics(kafka_settings)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_settings.kafka_bootstrap_servers)
    await admin.start()
    try:
        await admin.delete_topics([kafka_settings.topics.dead_letters])
    finally:
        await admin.close()
    assert await create_topics(kafka_settings) == [kafka_settings.topics.dead_letters]


async def test_installations_with_another_prefix_share_no_topic(kafka_settings: Settings) -> None:
    other = kafka_settings.model_copy(update={"topic_prefix": f"other-{kafka_settings.topic_prefix}"})
    await create_topics(kafka_settings)
    assert await create_topics(other) == list(other.topics.all)
    assert set(other.topics.all).isdisjoint(kafka_settings.topics.all)
