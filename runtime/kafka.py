"""Kafka: the connections of Settle's clients, and its topics."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaConnectionError, KafkaError

from database.failures import describe_failure
from domain import limits
from domain.errors import SettingsError, UnavailableError
from messaging.dead_letter_reading import DeadLetterReader
from messaging.header_names import read_any_header_name
from messaging.stopping import stop_in_time
from runtime.settings import Settings
from schemas.next_steps import MIGRATE, START_STACK

# Kafka's error codes.
_CREATED = 0
_TOPIC_EXISTS = 36
_BROKERS_DEFAULT = -1


def connection_arguments(settings: Settings) -> dict[str, Any]:
    """Return the arguments of every aiokafka client.

    Raises:
        SettingsError: no broker is set.
    """
    if not settings.kafka_bootstrap_servers:
        raise SettingsError(
            "No Kafka broker is set and no embedded stack runs here. Set KAFKA_BOOTSTRAP_SERVERS.", START_STACK
        )
    arguments: dict[str, Any] = {
        "bootstrap_servers": settings.kafka_bootstrap_servers,
        "client_id": "settle",
        "security_protocol": settings.kafka_security_protocol,
    }
    if settings.kafka_security_protocol.endswith("SSL"):
        arguments["ssl_context"] = ssl.create_default_context()
    if settings.kafka_security_protocol.startswith("SASL"):
        arguments |= {
            "sasl_mechanism": settings.kafka_sasl_mechanism,
            "sasl_plain_username": settings.kafka_sasl_username,
            "sasl_plain_password": settings.kafka_sasl_password.get_secret_value(),
        }
    return arguments


def build_intake_consumer(settings: Settings) -> AIOKafkaConsumer:
    """Build a static member of the intake's consumer group. It is not started, and does not commit automatically.

    Raises:
        SettingsError: no broker is set.
    """
    read_any_header_name()
    return AIOKafkaConsumer(
        **connection_arguments(settings),
        group_id=settings.topics.intake_group,
        group_instance_id=instance_id_of(settings),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        session_timeout_ms=limits.KAFKA_SESSION_TIMEOUT_S * 1000,
        heartbeat_interval_ms=limits.KAFKA_HEARTBEAT_INTERVAL_S * 1000,
        fetch_max_bytes=limits.KAFKA_FETCH_BYTES_MAX,
        max_partition_fetch_bytes=limits.RECORD_BYTES_MAX,
    )


@asynccontextmanager
async def open_dead_letter_reader(settings: Settings) -> AsyncIterator[DeadLetterReader]:
    """Open a reader of the dead-letter topic.

    Raises:
        SettingsError: no broker is set.
        UnavailableError: no broker was reached in time, or the topic is missing.
    """
    partitions = await fetch_partitions(settings, settings.topics.dead_letters)
    consumer = AIOKafkaConsumer(
        **connection_arguments(settings),
        group_id=settings.topics.replay_group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=limits.KAFKA_REQUEST_BYTES_MAX,
    )
    try:
        async with _reachable(settings):
            await consumer.start()
        yield DeadLetterReader(consumer, settings.topics.dead_letters, partitions)
    finally:
        await stop_in_time(consumer)


def instance_id_of(settings: Settings) -> str:
    """Return the name of this intake process in its consumer group."""
    return settings.intake_instance_id or socket.gethostname()


@asynccontextmanager
async def open_producer(settings: Settings, *, idempotent: bool) -> AsyncIterator[AIOKafkaProducer]:
    """Open a producer whose records all replicas acknowledge.

    When the context ends, the producer has `limits.KAFKA_STOP_TIMEOUT_S` to send its records. Records left after that
    may still be sent while the process lives, and are dropped when it ends. An idempotent producer keeps a record
    without a time limit while the brokers are unreachable, and the record arrives once.

    Args:
        settings: the addresses and credentials of the brokers.
        idempotent: whether a record that the producer retries is stored once and in order. The embedded broker does
            not support this, so it is ignored there.

    Raises:
        SettingsError: no broker is set.
        UnavailableError: no broker was reached in time.
    """
    producer = AIOKafkaProducer(
        **connection_arguments(settings),
        acks="all",
        enable_idempotence=idempotent and not settings.kafka_is_embedded,
        compression_type="lz4",
        linger_ms=limits.KAFKA_LINGER_MS,
        request_timeout_ms=limits.KAFKA_REQUEST_TIMEOUT_S * 1_000,
        max_request_size=limits.KAFKA_REQUEST_BYTES_MAX,
    )
    try:
        async with _reachable(settings):
            await producer.start()
        yield producer
    finally:
        await stop_in_time(producer)


async def fetch_partitions(settings: Settings, topic: str) -> list[int]:
    """Return the sorted numbers of a topic's partitions.

    Raises:
        SettingsError: no broker is set.
        UnavailableError: no broker was reached in time, or the topic is missing.
    """
    async with _admin(settings) as admin:
        [described] = await admin.describe_topics([topic])
    if not described["partitions"]:
        raise _missing(settings, [topic])
    return sorted(each["partition"] for each in described["partitions"])


async def require_topics(settings: Settings) -> None:
    """Require that Settle's topics exist.

    Raises:
        SettingsError: no broker is set.
        UnavailableError: no broker was reached in time, or a topic is missing.
    """
    async with _admin(settings) as admin:
        known = set(await admin.list_topics())
    missing = [topic for topic in settings.topics.all if topic not in known]
    if missing:
        raise _missing(settings, missing)


def _missing(settings: Settings, topics: list[str]) -> UnavailableError:
    return UnavailableError(
        f"Kafka at {settings.kafka_bootstrap_servers} lacks the topics {', '.join(topics)}.", MIGRATE
    )


async def create_topics(settings: Settings) -> list[str]:
    """Create Settle's missing topics, and leave the existing ones unchanged. Idempotent.

    Returns:
        The topics created by this call.

    Raises:
        SettingsError: no broker is set.
        UnavailableError: no broker was reached in time, or it refused to create a topic.
    """
    async with _admin(settings) as admin:
        known = set(await admin.list_topics())
        missing = [topic for topic in settings.topics.all if topic not in known]
        answers = (await admin.create_topics([_new_topic(name) for name in missing])).topic_errors if missing else []
    refused = [
        f"{name}: {message or f'error {code}'}"
        for name, code, message in answers
        if code not in (_CREATED, _TOPIC_EXISTS)
    ]
    if refused:
        raise UnavailableError(
            f"Kafka at {settings.kafka_bootstrap_servers} refused to create topics: {'; '.join(refused)}. "
            "Create them by hand, or give Settle's user the right to create topics."
        )
    # The list may lack a topic that was created a moment ago. The broker does not create it again.
    return [name for name, code, _ in answers if code == _CREATED]


@asynccontextmanager
async def _admin(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(**connection_arguments(settings))
    try:
        async with _reachable(settings):
            await admin.start()
            yield admin
    finally:
        await admin.close()


@asynccontextmanager
async def _reachable(settings: Settings) -> AsyncIterator[None]:
    """Limit the time of the first contact with the brokers, and translate its failure."""
    try:
        async with asyncio.timeout(limits.KAFKA_CONNECT_TIMEOUT_S):
            yield
    except (KafkaError, OSError) as error:
        raise _unreachable(settings, error) from error


def _new_topic(name: str) -> NewTopic:
    # The client accepts the brokers' default only with a replica assignment. An empty one leaves that to the brokers.
    return NewTopic(name, limits.TOPIC_PARTITION_COUNT, _BROKERS_DEFAULT, replica_assignments={})


def _unreachable(settings: Settings, error: BaseException) -> UnavailableError:
    """Return the error for unreachable brokers. It never shows the password."""
    if isinstance(error, KafkaConnectionError):
        reason = "no broker accepts connections there"
    else:
        reason = describe_failure(error, limits.KAFKA_CONNECT_TIMEOUT_S)
    return UnavailableError(
        f"Could not connect to Kafka at {settings.kafka_bootstrap_servers}: {reason}. "
        "Check that it runs, and that KAFKA_BOOTSTRAP_SERVERS and its credentials are right."
    )
