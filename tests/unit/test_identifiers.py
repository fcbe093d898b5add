"""The frozen formats of identifiers do not change. A change would let a credit be paid twice or a chunk run twice."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from domain import limits
from domain.identifiers import (
    batch_workflow_id,
    chunk_workflow_id,
    credit_key,
    daily_schedule_id,
    is_batch_id,
    order_id_of_credit_key,
    plan_batch_id,
    result_bucket,
    result_event_id,
    scheduled_batch_id,
)
from schemas.wire.batches import BatchSource


def test_frozen_formats() -> None:
    at = datetime(2026, 11, 23, 6, tzinfo=UTC)
    assert plan_batch_id(BatchSource.MANUAL, date(2026, 11, 22), at) == "2026-11-22-manual-20261123T060000Z"
    assert batch_workflow_id("2026-11-22-manual-20261123T060000Z") == "2026-11-22-manual-20261123T060000Z"
    assert (
        chunk_workflow_id("2026-11-22-manual-20261123T060000Z", 42) == "2026-11-22-manual-20261123T060000Z.chunk-000042"
    )
    assert daily_schedule_id("settle") == "settle-daily"
    assert scheduled_batch_id("settle-daily", at) == "settle-daily-2026-11-23T06:00:00Z"
    assert credit_key("S1-000000042") == "credit:S1-000000042"


def test_a_batch_id_shows_the_time_in_utc() -> None:
    at = datetime(2026, 11, 23, 6, tzinfo=timezone(timedelta(hours=8)))
    assert plan_batch_id(BatchSource.MANUAL, date(2026, 11, 22), at) == "2026-11-22-manual-20261122T220000Z"


@pytest.mark.parametrize("source", BatchSource)
def test_a_planned_batch_id_can_name_a_batch(source: BatchSource) -> None:
    assert is_batch_id(plan_batch_id(source, date(2026, 11, 22), datetime(2026, 11, 23, tzinfo=UTC)))


def test_a_scheduled_runs_workflow_id_can_name_a_batch() -> None:
    assert is_batch_id(scheduled_batch_id(daily_schedule_id("settle"), datetime(2026, 11, 23, tzinfo=UTC)))


def test_chunk_workflow_ids_of_a_batch_sort_by_chunk_up_to_the_last_one() -> None:
    indexes = [0, 1, 9, 10, 99_999, 100_000, limits.CHUNK_COUNT_MAX]
    ids = [chunk_workflow_id("b", index) for index in indexes]
    assert sorted(ids) == ids
    assert len({len(chunk_id) for chunk_id in ids}) == 1


@pytest.mark.parametrize("order_id", ["o1", "credit:o1", "credit:", "ö 1"])
def test_a_credit_key_names_its_order(order_id: str) -> None:
    assert order_id_of_credit_key(credit_key(order_id)) == order_id


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".b",
        "-b",
        "a b",
        "a/b",
        "a\n",
        "ä",
        "demo.chunk-000042",
        ":b",
        "temporal-sys-scheduler:settle-daily",
        "a" * (limits.BATCH_ID_LENGTH_MAX + 1),
    ],
)
def test_what_cannot_name_a_batch(text: str) -> None:
    assert not is_batch_id(text)


def test_a_batch_id_of_full_length_can_name_a_batch() -> None:
    assert is_batch_id("a" * limits.BATCH_ID_LENGTH_MAX)


def test_a_results_id_and_bucket_are_frozen() -> None:
    assert result_event_id("O-1", 2) == "settlement:O-1:2"
    assert [result_bucket(order_id) for order_id in ("O-1", "O-2", "Zoë", "订单-7")] == [10, 0, 10, 9]
