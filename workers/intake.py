"""The intake process. It takes orders in from Kafka, and starts the batches that it fills."""

import asyncio
import logging
import os

from aiokafka.errors import KafkaError
from temporalio.client import Client
from temporalio.service import RPCError

from domain import limits
from domain.errors import UnansweredError
from messaging.dead_letter import DeadLetterTopic
from messaging.intake import Intake, PressureSettings
from messaging.record_source import RecordSource
from runtime.kafka import build_intake_consumer, instance_id_of, open_producer, require_topics
from runtime.settings import Settings
from runtime.temporal import connect_temporal
from schemas.wire.batches import BatchOpening
from settlement_store.port import SettlementStore
from settling.intake_filling import BatchFilling, FillingSettings
from workflows.batch_client import start_batch_workflow

_log = logging.getLogger(__name__)


class BatchStarter:
    """A starter of batches on Temporal. If Temporal is unreachable, the sweep starts the batches later."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: Client | None = None

    async def start(self, opening: BatchOpening) -> None:
        """Start a frozen batch's workflow. Idempotent.

        Raises:
            UnavailableError: Temporal is unreachable.
            UnansweredError: the request failed, and the workflow may have been started.
        """
        self._client = self._client or await connect_temporal(self._settings)
        try:
            await start_batch_workflow(self._client, self._settings.task_queue, opening)
        except RPCError as error:
            raise UnansweredError(f"Temporal answered {error.status.name}: {error.message}") from error


async def serve_intake(settings: Settings, store: SettlementStore, stop: asyncio.Event) -> None:
    """Take orders in until `stop` is set. A consumer that fails is replaced.

    Raises:
        SettingsError: no broker is set.
        UnavailableError: at the start, no broker was reached in time or a topic is missing.
    """
    await require_topics(settings)
    filling = BatchFilling(
        store,
        BatchStarter(settings).start,
        FillingSettings(
            instance_id_of(settings), settings.batch_settings, settings.intake_batch_size, settings.batch_wait_s_max
        ),
    )
    pressure = PressureSettings(settings.backlog_high_water, settings.backlog_low_water, settings.batch_stuck_s)
    async with open_producer(settings, idempotent=False) as producer:
        topics = settings.topics
        dead_letters = DeadLetterTopic(producer, topics.dead_letters, topics.intake_group)
        while not stop.is_set():
            source = RecordSource(build_intake_consumer(settings), topics.overdue)
            try:
                await source.start()
                _log.info("intake takes orders in", extra=_describe(settings))
                await Intake(source, store, filling, dead_letters, pressure).run(stop)
            except KafkaError as error:
                _log.warning("the Kafka consumer failed and is replaced", extra={"error": str(error)})
                await asyncio.sleep(limits.INTAKE_RETRY_MAX_S)
            finally:
                await source.stop()
    _log.info("intake has stopped", extra={"pid": os.getpid()})


def _describe(settings: Settings) -> dict[str, object]:
    return {
        "pid": os.getpid(),
        "topic": settings.topics.overdue,
        "group": settings.topics.intake_group,
        "instance_id": instance_id_of(settings),
        "kafka": settings.kafka_bootstrap_servers,
    }
