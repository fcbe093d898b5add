"""Workflow ids, idempotency keys and what events are named: frozen formats, one place.

Changing one of these formats lets a credit be paid twice, a chunk run twice or an event get lost: tests pin them.
"""

import re
import zlib
from datetime import UTC, date, datetime
from zlib import crc32

from domain.limits import BATCH_ID_LENGTH_MAX, FAIRNESS_KEY_BYTES_MAX, RESULT_BUCKET_COUNT
from schemas.wire.batches import BatchSource

# Temporal's own workflows, a schedule's among them, have ids that begin with `temporal-sys-`.
BATCH_ID_PATTERN = re.compile(rf"(?!temporal-sys-)[A-Za-z0-9][A-Za-z0-9._:-]{{0,{BATCH_ID_LENGTH_MAX - 1}}}")
_CHUNK_SUFFIX_PATTERN = re.compile(r"\.chunk-[0-9]{6}$")
CREDIT_KEY_PREFIX = "credit:"


def plan_batch_id(source: BatchSource, business_date: date, started_at: datetime) -> str:
    """Name a batch so that ids sort by business date and then by time, e.g. `2026-11-22-manual-20261123T060000Z`.

    Two runs started in the same second get the same id, and so become one batch.
    """
    return f"{business_date:%Y-%m-%d}-{source}-{started_at.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def plan_kafka_batch_id(business_date: date, opened_at: datetime, instance_id: str) -> str:
    """Name a batch that an intake process fills, e.g. `2026-11-22-kafka-20261123T060000.123456Z-0a1b2c3d`.

    The end is a digest of the process's name: processes that open batches at the same time do not meet, and one opens
    no two in the same microsecond.
    """
    digest = crc32(instance_id.encode())
    return f"{business_date:%Y-%m-%d}-{BatchSource.KAFKA}-{opened_at.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}-{digest:08x}"


def daily_schedule_id(task_queue: str) -> str:
    """The id of the daily schedule of one installation, e.g. `settle-daily`."""
    return f"{task_queue}-daily"


def scheduled_batch_id(schedule_id: str, scheduled_at: datetime) -> str:
    """What Temporal names the workflow of a scheduled run, e.g. `settle-daily-2026-11-24T06:00:00Z`."""
    return f"{schedule_id}-{scheduled_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def is_batch_id(text: str) -> bool:
    """Whether `text` can name a batch: no batch's workflow id is ever the id of another batch's chunk."""
    return BATCH_ID_PATTERN.fullmatch(text) is not None and not _CHUNK_SUFFIX_PATTERN.search(text)


def batch_workflow_id(batch_id: str) -> str:
    """The batch's workflow id: the batch id itself, so that starting a batch is idempotent."""
    return batch_id


def chunk_workflow_id(batch_id: str, chunk_index: int) -> str:
    """The chunk's workflow id, e.g. `2026-11-22-manual-20261123T060000Z.chunk-000042`."""
    return f"{batch_id}.chunk-{chunk_index:06d}"


def credit_reference(batch_id: str, chunk_index: int) -> str:
    """What the ledger's entries name as the origin of a chunk's credits: the id of the chunk's workflow."""
    return chunk_workflow_id(batch_id, chunk_index)


def fairness_key(batch_id: str) -> str:
    """The key under which a batch's tasks take turns with those of other batches: the end of its id.

    Temporal takes 64 bytes. Batches that share a key share their turns, nothing else.
    """
    return batch_id[-FAIRNESS_KEY_BYTES_MAX:]


def credit_key(order_id: str) -> str:
    """The idempotency key of an order's one credit; derived from the order alone."""
    return f"{CREDIT_KEY_PREFIX}{order_id}"


def order_id_of_credit_key(idempotency_key: str) -> str:
    """The order whose credit has this key; the inverse of `credit_key`."""
    return idempotency_key.removeprefix(CREDIT_KEY_PREFIX)


def result_event_id(order_id: str, claim_no: int) -> str:
    """The id of the event that tells an outcome: the same each time that it is delivered."""
    return f"settlement:{order_id}:{claim_no}"


def result_bucket(order_id: str) -> int:
    """The hash bucket that an order's results are delivered with; PostgreSQL's `crc32` gives the same."""
    return zlib.crc32(order_id.encode()) % RESULT_BUCKET_COUNT
