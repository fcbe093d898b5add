"""The relations between the bounds are checked when the module is imported, also with `python -O`."""

import re
from pathlib import Path

import pytest

from domain import limits
from domain.errors import InvariantViolationError

SOURCE = Path(limits.__file__).read_text(encoding="utf-8")


# For each relation, a value of one of its bounds that breaks it.
BREAKING = {
    "the default chunk size is within its bound": ("CHUNK_SIZE_DEFAULT", limits.CHUNK_SIZE_MAX + 1),
    "the default window is within its bound": ("WINDOW_DEFAULT", limits.WINDOW_MAX + 1),
    "the default batch wait is within its bound": ("BATCH_WAIT_DEFAULT_S", limits.BATCH_WAIT_MAX_S + 1),
    "a batch's pending child workflows stay well under Temporal's 2,000": ("WINDOW_MAX", 501),
    "an activity has several heartbeats before it times out": ("HEARTBEAT_INTERVAL_S", limits.HEARTBEAT_TIMEOUT_S / 2),
    "waiting for a lock ends before its statement": ("LOCK_TIMEOUT_S", limits.STATEMENT_TIMEOUT_S),
    "a statement times out before its transaction": ("TRANSACTION_TIMEOUT_S", limits.STATEMENT_TIMEOUT_S),
    "a transaction times out before the activity that waits for it": (
        "CHUNK_ACTIVITY_TIMEOUT_S",
        limits.TRANSACTION_TIMEOUT_S,
    ),
    "a batch activity may take longer than a chunk's": ("BATCH_ACTIVITY_TIMEOUT_S", limits.CHUNK_ACTIVITY_TIMEOUT_S),
    "an attempt has time to ask for unknown orders again": (
        "CHUNK_ACTIVITY_TIMEOUT_S",
        limits.TRANSACTION_TIMEOUT_S + sum(limits.UNKNOWN_ORDER_PAUSES_S),
    ),
    "at least 95% of a cap is used": ("CREDIT_PACE", 0.9),
    "an attempt has time to wait for a turn to send credits": (
        "CHUNK_ACTIVITY_TIMEOUT_S",
        limits.TRANSACTION_TIMEOUT_S + limits.CREDIT_TURN_WAIT_S_MAX,
    ),
    "an activity that asks in the lead of a turn can wait for the turn": (
        "CREDIT_TURN_LEAD_S",
        limits.CREDIT_TURN_WAIT_S_MAX,
    ),
    "a workflow asks for a turn before it can be taken": ("CREDIT_TURN_AHEAD_S", limits.CREDIT_TURN_LEAD_S),
    "a missed run can be caught up until the next one": ("SCHEDULE_CATCHUP_WINDOW_S", 24 * 3600 - 1),
    "freezing can wait for its cutoff": ("CUTOFF_AHEAD_S_MAX", limits.ACTIVITY_DEADLINE_S),
    "one attempt times out before all attempts together do": ("ACTIVITY_DEADLINE_S", limits.BATCH_ACTIVITY_TIMEOUT_S),
    "every activity slot has a pool connection": (
        "WORKER_ACTIVITY_SLOT_COUNT",
        limits.DATABASE_POOL_SIZE_MAX - limits.WORKER_LOCAL_ACTIVITY_SLOT_COUNT + 1,
    ),
    "a batch's own tasks have slots beside those of all its chunks": (
        "WORKER_WORKFLOW_TASK_SLOT_COUNT",
        limits.WINDOW_MAX,
    ),
    "waiting for a slot times out before the work in it": ("LOCAL_ACTIVITY_QUEUE_S", limits.LOCAL_ACTIVITY_TIMEOUT_S),
    "unknown orders are asked for again while a chunk is settled in one step": (
        "LOCAL_ACTIVITY_TIMEOUT_S",
        sum(limits.UNKNOWN_ORDER_PAUSES_S),
    ),
    "a chunk that is settled in one step can wait for its turn to send credits": (
        "CREDIT_TURN_WAIT_S_MAX",
        limits.LOCAL_ACTIVITY_TIMEOUT_S,
    ),
    "a chunk is settled in one step within a worker's graceful shutdown": (
        "LOCAL_ACTIVITY_TIMEOUT_S",
        limits.WORKER_GRACEFUL_SHUTDOWN_S - limits.LOCAL_ACTIVITY_QUEUE_S,
    ),
    "there are no more activity polls than slots": (
        "WORKER_ACTIVITY_POLL_COUNT",
        limits.WORKER_ACTIVITY_SLOT_COUNT + 1,
    ),
    "a command reports unreachable servers in time": ("DATABASE_CONNECT_TIMEOUT_S", limits.UNREACHABLE_TOLD_S / 2),
    "a command reports unreachable brokers in time": ("KAFKA_CONNECT_TIMEOUT_S", limits.UNREACHABLE_TOLD_S / 2),
    "the announcements of a poll fit one append": ("INTAKE_RECORD_COUNT_MAX", limits.FREEZE_SLICE_ORDER_COUNT + 1),
    "a member has several heartbeats before it is removed": (
        "KAFKA_HEARTBEAT_INTERVAL_S",
        limits.KAFKA_SESSION_TIMEOUT_S / 3,
    ),
    "heartbeats are sent while records are decoded": ("INTAKE_DECODE_S_MAX", limits.KAFKA_HEARTBEAT_INTERVAL_S),
    "a batch is frozen before it must be started": ("BATCH_START_ALLOWANCE_S", limits.BATCH_WAIT_MIN_S),
    "a dead letter fits in a request": ("DEAD_LETTER_BYTES_MAX", limits.KAFKA_REQUEST_BYTES_MAX),
    "intake resumes below the backlog at which it pauses": (
        "BACKLOG_LOW_WATER_DEFAULT",
        limits.BACKLOG_HIGH_WATER_DEFAULT,
    ),
    "intake resumes soon after PostgreSQL is back": ("INTAKE_RETRY_MAX_S", limits.RESUME_AFTER_OUTAGE_S),
    "a command reports an unanswered request in time": ("TEMPORAL_RPC_TIMEOUT_S", limits.UNREACHABLE_TOLD_S),
    "the opener of a batch can start it before the sweep does": ("SWEEP_GRACE_S", limits.TEMPORAL_RPC_TIMEOUT_S - 1),
    "not every sweep restarts a failed workflow": ("SWEEP_FAILED_PAUSE_S", limits.SWEEP_INTERVAL_S),
    "work resumes soon after PostgreSQL is back": ("ACTIVITY_RETRY_MAX_S", limits.RESUME_AFTER_OUTAGE_S),
    "work resumes soon after Temporal is back": ("TEMPORAL_PING_INTERVAL_S", limits.RESUME_AFTER_OUTAGE_S),
    "the amounts of a full batch, good or bad, fit in a 64-bit sum": ("AMOUNT_DIGIT_COUNT_MAX", 18),
    "one failed health check does not count as an outage": ("HEALTH_FRESH_S", limits.HEALTH_CHECK_INTERVAL_S),
    "a relay keeps its lease while it waits for Kafka": ("RELAY_LEASE_S", limits.KAFKA_REQUEST_TIMEOUT_S),
    "a stopping relay has time to finish its slice": ("RELAY_GRACEFUL_STOP_S", limits.KAFKA_REQUEST_TIMEOUT_S),
    "a batch has probes for several chunks": ("BATCH_PROBE_COUNT_MAX", limits.CHUNK_PROBE_COUNT_MAX),
    "a chunk's probes fit in its history": ("HISTORY_EVENT_COUNT_MAX", 6 * limits.CHUNK_PROBE_COUNT_MAX),
    "a chunk's isolated items fit in a payload": ("EXCEPTION_DETAIL_LENGTH_MAX", 2_000),
    "the credit deadline ends before the activity's deadline": (
        "CREDIT_DEADLINE_DEFAULT_S",
        limits.ACTIVITY_DEADLINE_S,
    ),
    "every order that can be imported can be announced": ("IDENTIFIER_LENGTH_MAX", limits.IDENTIFIER_LENGTH_MAX + 1),
}


def import_with(name: str, value: object) -> None:
    """Import the limits with another value of one bound, as `python -OO` would."""
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
