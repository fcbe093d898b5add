"""The relations between the bounds are checked when they are imported, `python -O` or not."""

import re
from pathlib import Path

import pytest

from domain import limits
from domain.errors import InvariantViolationError

SOURCE = Path(limits.__file__).read_text(encoding="utf-8")


# For each relation a value of one of its bounds that breaks it.
BREAKING = {
    "a chunk size default within its bound": ("CHUNK_SIZE_DEFAULT", limits.CHUNK_SIZE_MAX + 1),
    "a window default within its bound": ("WINDOW_DEFAULT", limits.WINDOW_MAX + 1),
    "a batch wait default within its bound": ("BATCH_WAIT_DEFAULT_S", limits.BATCH_WAIT_MAX_S + 1),
    "children well under Temporal's 2,000 pending ones": ("WINDOW_MAX", 501),
    "several heartbeats before one is missed": ("HEARTBEAT_INTERVAL_S", limits.HEARTBEAT_TIMEOUT_S / 2),
    "a lock is given up before its statement": ("LOCK_TIMEOUT_S", limits.STATEMENT_TIMEOUT_S),
    "a statement is given up before its transaction": ("TRANSACTION_TIMEOUT_S", limits.STATEMENT_TIMEOUT_S),
    "PostgreSQL gives up before the activity that waits for it": (
        "CHUNK_ACTIVITY_TIMEOUT_S",
        limits.TRANSACTION_TIMEOUT_S,
    ),
    "a batch activity outlives a chunk's": ("BATCH_ACTIVITY_TIMEOUT_S", limits.CHUNK_ACTIVITY_TIMEOUT_S),
    "unknown orders are asked for within an attempt": (
        "CHUNK_ACTIVITY_TIMEOUT_S",
        limits.TRANSACTION_TIMEOUT_S + sum(limits.UNKNOWN_ORDER_PAUSES_S),
    ),
    "nine tenths of a cap are used": ("CREDIT_PACE", 0.9),
    "a turn to send credits is waited for within an attempt": (
        "CHUNK_ACTIVITY_TIMEOUT_S",
        limits.TRANSACTION_TIMEOUT_S + limits.CREDIT_TURN_WAIT_S_MAX,
    ),
    "who is told to come before a turn waits for it on the spot": ("CREDIT_TURN_LEAD_S", limits.CREDIT_TURN_WAIT_S_MAX),
    "a turn that is not taken yet is told in advance": ("CREDIT_TURN_AHEAD_S", limits.CREDIT_TURN_LEAD_S),
    "a run that was missed is caught up until the next one": ("SCHEDULE_CATCHUP_WINDOW_S", 24 * 3600 - 1),
    "an attempt ends before all attempts do": ("ACTIVITY_DEADLINE_S", limits.BATCH_ACTIVITY_TIMEOUT_S),
    "a pool connection for every activity slot": (
        "WORKER_ACTIVITY_SLOT_COUNT",
        limits.DATABASE_POOL_SIZE_MAX - limits.WORKER_LOCAL_ACTIVITY_SLOT_COUNT + 1,
    ),
    "a batch's own tasks have slots beside all its chunks": ("WORKER_WORKFLOW_TASK_SLOT_COUNT", limits.WINDOW_MAX),
    "slots are left to who can use them": ("LOCAL_ACTIVITY_QUEUE_S", limits.LOCAL_ACTIVITY_TIMEOUT_S),
    "unknown orders are asked for while a chunk is settled at once": (
        "LOCAL_ACTIVITY_TIMEOUT_S",
        sum(limits.UNKNOWN_ORDER_PAUSES_S),
    ),
    "a turn to send credits is waited for while a chunk is settled at once": (
        "CREDIT_TURN_WAIT_S_MAX",
        limits.LOCAL_ACTIVITY_TIMEOUT_S,
    ),
    "a chunk is settled at once within a worker's grace": (
        "LOCAL_ACTIVITY_TIMEOUT_S",
        limits.WORKER_GRACEFUL_SHUTDOWN_S - limits.LOCAL_ACTIVITY_QUEUE_S,
    ),
    "no more polls than slots": ("WORKER_ACTIVITY_POLL_COUNT", limits.WORKER_ACTIVITY_SLOT_COUNT + 1),
    "servers that are away are told in time": ("DATABASE_CONNECT_TIMEOUT_S", limits.UNREACHABLE_TOLD_S / 2),
    "brokers that are away are told in time": ("KAFKA_CONNECT_TIMEOUT_S", limits.UNREACHABLE_TOLD_S / 2),
    "a poll's announcements fit one append": ("INTAKE_RECORD_COUNT_MAX", limits.FREEZE_SLICE_ORDER_COUNT + 1),
    "several heartbeats before a member is given up": (
        "KAFKA_HEARTBEAT_INTERVAL_S",
        limits.KAFKA_SESSION_TIMEOUT_S / 3,
    ),
    "the heartbeat has its turn while records are decoded": ("INTAKE_DECODE_S_MAX", limits.KAFKA_HEARTBEAT_INTERVAL_S),
    "a batch is frozen before it has to be started": ("BATCH_START_ALLOWANCE_S", limits.BATCH_WAIT_MIN_S),
    "a dead letter fits a request": ("DEAD_LETTER_BYTES_MAX", limits.KAFKA_REQUEST_BYTES_MAX),
    "intake resumes under the mark at which it pauses": (
        "BACKLOG_LOW_WATER_DEFAULT",
        limits.BACKLOG_HIGH_WATER_DEFAULT,
    ),
    "intake goes on soon after PostgreSQL is back": ("INTAKE_RETRY_MAX_S", limits.RESUME_AFTER_OUTAGE_S),
    "a request that is not answered is told in time": ("TEMPORAL_RPC_TIMEOUT_S", limits.UNREACHABLE_TOLD_S),
    "who opened a batch starts it before the sweep does": ("SWEEP_GRACE_S", limits.TEMPORAL_RPC_TIMEOUT_S - 1),
    "a workflow that fails is not started again by every sweep": ("SWEEP_FAILED_PAUSE_S", limits.SWEEP_INTERVAL_S),
    "work goes on soon after PostgreSQL is back": ("ACTIVITY_RETRY_MAX_S", limits.RESUME_AFTER_OUTAGE_S),
    "work goes on soon after Temporal is back": ("TEMPORAL_PING_INTERVAL_S", limits.RESUME_AFTER_OUTAGE_S),
    "the amounts of a full batch, good or bad, fit a 64-bit sum": ("AMOUNT_DIGIT_COUNT_MAX", 18),
    "one look that fails is no outage": ("HEALTH_FRESH_S", limits.HEALTH_CHECK_INTERVAL_S),
    "a relay keeps its lease while it waits for Kafka": ("RELAY_LEASE_S", limits.KAFKA_REQUEST_TIMEOUT_S),
    "a relay that stops has time for the slice in hand": ("RELAY_GRACEFUL_STOP_S", limits.KAFKA_REQUEST_TIMEOUT_S),
    "a batch has probes for several chunks": ("BATCH_PROBE_COUNT_MAX", limits.CHUNK_PROBE_COUNT_MAX),
    "a chunk's probes fit its history": ("HISTORY_EVENT_COUNT_MAX", 6 * limits.CHUNK_PROBE_COUNT_MAX),
    "a chunk's isolated items fit a payload": ("EXCEPTION_DETAIL_LENGTH_MAX", 2_000),
    "credits are given up before the activity that asks for them": (
        "CREDIT_DEADLINE_DEFAULT_S",
        limits.ACTIVITY_DEADLINE_S,
    ),
    "what can be imported can be announced": ("IDENTIFIER_LENGTH_MAX", limits.IDENTIFIER_LENGTH_MAX + 1),
}


def import_with(name: str, value: object) -> None:
    """Import the limits with another value of one of them, as `python -OO` would."""
    changed, count = re.subn(rf"(?m)^{name} = [^#\n]*", f"{name} = {value}  ", SOURCE)
    assert count == 1
    exec(compile(changed, "domain/limits.py", "exec", optimize=2), {"__name__": "domain.limits"})  # noqa: S102


def test_every_relation_has_a_value_here_that_breaks_it() -> None:
    assert set(BREAKING) == set(re.findall(r'_require\(\s*"([^"]+)"', SOURCE))


@pytest.mark.parametrize("relation", BREAKING)
def test_bounds_that_contradict_each_other_are_not_imported(relation: str) -> None:
    with pytest.raises(InvariantViolationError, match=re.escape(relation)):
        import_with(*BREAKING[relation])


def test_bounds_as_they_stand_are_imported() -> None:
    import_with("WINDOW_DEFAULT", limits.WINDOW_DEFAULT)
