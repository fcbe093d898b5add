"""The frozen formats of workflow ids, idempotency keys and event ids.

A changed format could pay a credit twice, run a chunk twice or lose an event. Tests pin the formats.
"""

import re
import zlib
from datetime import UTC, date, datetime
from zlib import crc32

from domain.limits import BATCH_ID_LENGTH_MAX, FAIRNESS_KEY_BYTES_MAX, RESULT_BUCKET_COUNT
from schemas.wire.batches import BatchSource

# Ids of Temporal's own workflows, such as a schedule's, begin with `temporal-sys-`.
BATCH_ID_PATTERN = re.compile(rf"(?!temporal-sys-)[A-Za-z0-9][A-Za-z0-9._:-]{{0,{BATCH_ID_LENGTH_MAX - 1}}}")
_CHUNK_SUFFIX_PATTERN = re.compile(r"\.chunk-[0-9]{6}$")
CREDIT_KEY_PREFIX = "credit:"


def plan_batch_id(source: BatchSource, business_date: date, started_at: datetime) -> str:
    """Return a batch id such as `2026-11-22-manual-20261123T060000Z`. Ids sort by business date, source and time.

    Two runs of one source that start in the same second get the same id and become one batch.
    """
    return f"{business_date:%Y-%m-%d}-{source}-{started_at.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def plan_kafka_batch_id(business_date: date, opened_at: datetime, instance_id: str) -> str:
    """Return the id of a batch that an intake process fills: `2026-11-22-kafka-20261123T060000.123456Z-0a1b2c3d`.

    It ends with a digest of the process's name, so that processes that open batches at the same time get different
    ids. One process never opens two batches in the same microsecond.
    """
    digest = crc32(instance_id.encode())
    return f"{business_date:%Y-%m-%d}-{BatchSource.KAFKA}-{opened_at.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}-{digest:08x}"


def daily_schedule_id(task_queue: str) -> str:
    """Return the id of an installation's daily schedule, such as `settle-daily`."""
    return f"{task_queue}-daily"


def scheduled_batch_id(schedule_id: str, scheduled_at: datetime) -> str:
    """Return the id that Temporal gives to a scheduled run's workflow, such as `settle-daily-2026-11-24T06:00:00Z`."""
    return f"{schedule_id}-{scheduled_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def is_batch_id(text: str) -> bool:
    """Return whether `text` can name a batch. No such id equals the workflow id of another batch's chunk."""
    return BATCH_ID_PATTERN.fullmatch(text) is not None and not _CHUNK_SUFFIX_PATTERN.search(text)


def batch_workflow_id(batch_id: str) -> str:
    """Return the batch's workflow id. It is the batch id itself, which makes starting a batch idempotent."""
    return batch_id


def chunk_workflow_id(batch_id: str, chunk_index: int) -> str:
    """Return the chunk's workflow id, such as `2026-11-22-manual-20261123T060000Z.chunk-000042`."""
    return f"{batch_id}.chunk-{chunk_index:06d}"


def credit_reference(batch_id: str, chunk_index: int) -> str:
    """Return the reference on the journal entries of a chunk's credits: the id of the chunk's workflow."""
    return chunk_workflow_id(batch_id, chunk_index)


def fairness_key(batch_id: str) -> str:
    """Return the key by which Temporal shares its task queue fairly among batches: the end of the batch id.

    Temporal takes at most 64 bytes. Batches with the same key share their turns, and nothing else.
    """
    return batch_id[-FAIRNESS_KEY_BYTES_MAX:]


def credit_key(order_id: str) -> str:
    """Return the idempotency key of an order's only credit. It depends on the order alone."""
    return f"{CREDIT_KEY_PREFIX}{order_id}"


def order_id_of_credit_key(idempotency_key: str) -> str:
    """Return the id of the order whose credit has this key. The inverse of `credit_key`."""
    return idempotency_key.removeprefix(CREDIT_KEY_PREFIX)


def result_event_id(order_id: str, claim_no: int) -> str:
    """Return the id of an outcome's event. It is the same each time that the event is published."""
    return f"settlement:{order_id}:{claim_no}"


def result_bucket(order_id: str) -> int:
    """Return the bucket of an order's results. PostgreSQL's `crc32` gives the same."""
    return zlib.crc32(order_id.encode()) % RESULT_BUCKET_COUNT
