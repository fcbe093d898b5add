"""Every bound of Settle, with its relations to the bounds above it. The relations are checked at import.

The timeouts and retry policies in `workflows.activity_options` are built from these. A unit is the last part of a name.
"""

from types import MappingProxyType

from domain.errors import InvariantViolationError
from schemas.wire import events


def _require(relation: str, holds: bool) -> None:
    if not holds:
        raise InvariantViolationError(
            f"The bounds in domain/limits.py contradict each other. This must hold: {relation}."
        )


# Sizes. A chunk has 5,000 orders: orchestration costs per chunk, SQL per order, and a failure hits a whole chunk.
CHUNK_SIZE_DEFAULT = 5_000
CHUNK_SIZE_MAX = 10_000
_require("the default chunk size is within its bound", CHUNK_SIZE_DEFAULT <= CHUNK_SIZE_MAX)
WINDOW_DEFAULT = 12
WINDOW_MAX = 200
_require("the default window is within its bound", WINDOW_DEFAULT <= WINDOW_MAX)
_require("a batch's pending child workflows stay well under Temporal's 2,000", WINDOW_MAX <= 500)
CHUNK_COUNT_MAX = 999_999  # the six digits in a chunk's workflow id
UNCLOSED_BATCH_COUNT_MAX = 100
UNCLOSED_BATCHES_NAMED_MAX = 5
BATCH_ORDER_COUNT_MAX = 100_000_000
FREEZE_SLICE_ORDER_COUNT = 10_000
FREEZE_SLICES_AT_A_TIME = 3
BALANCE_SLICE_ITEM_COUNT = 10_000
BALANCE_SLICES_AT_A_TIME = 3
CREDIT_CALLS_AT_A_TIME = 1  # per process; in PostgreSQL, concurrent calls wait for each other's account rows
BALANCE_READ_COUNT_MAX = 3  # reads of a slice that shows a credit of a rejected or failed order
PRUNE_STEP_ITEM_COUNT = 10_000
PRUNE_SLICE_BATCH_COUNT = 100
RETENTION_DAYS_DEFAULT = 400
AUDIT_SLICE_ORDER_COUNT = 10_000
AUDIT_SLICES_AT_A_TIME = 3
AUDIT_BREAK_COUNT_MAX = 1_000
BATCH_LIST_COUNT_MAX = 100
ORDER_LIFE_ROW_COUNT_MAX = 100  # the newest items and the newest conflicting offers of an order that are shown
LOAD_ROW_COUNT = 5_000
UNKNOWN_ORDER_PAUSES_S = (0.25, 0.5, 1, 2)  # before each new request for an order without a record
EXCEPTION_DETAIL_LENGTH_MAX = 500
AMOUNT_DIGIT_COUNT_MAX = 10  # of an amount in an order file
_require(
    "the amounts of a full batch, good or bad, fit in a 64-bit sum",
    BATCH_ORDER_COUNT_MAX * 10**AMOUNT_DIGIT_COUNT_MAX < 2**63,
)
ORDER_LINE_BYTES_MAX = 8_192  # of an order file; the lines of a slice are kept in memory
IDENTIFIER_LENGTH_MAX = 64  # an order or account id, in characters
_require(
    "every order that can be imported can be announced",
    (IDENTIFIER_LENGTH_MAX, 10**AMOUNT_DIGIT_COUNT_MAX - 1) == (events.IDENTIFIER_LENGTH_MAX, events.AMOUNT_MINOR_MAX),
)
BATCH_ID_LENGTH_MAX = 100
CONTROL_TEXT_LENGTH_MAX = 500  # of the requester of an action, and of its reason
CONTROL_ACTIONS_SHOWN_MAX = 100  # the newest of a batch
HOLD_SLICE_CHUNK_COUNT = 100  # of an aborted batch
CHUNK_PROBE_COUNT_MAX = 400  # probes for bad items, in one chunk
BATCH_PROBE_COUNT_MAX = 2_000  # probes in one batch, until a person resumes it
_require("a batch has probes for several chunks", CHUNK_PROBE_COUNT_MAX < BATCH_PROBE_COUNT_MAX)
REJECTED_PERCENT_MAX_DEFAULT = 25
REJECTED_COUNT_MAX_DEFAULT = 1_000
FAILED_PERCENT_MAX_DEFAULT = 1
FAILED_COUNT_MAX_DEFAULT = 100
FAIRNESS_KEY_BYTES_MAX = 64  # Temporal's limit

# Isolating poison orders. See decision 0020.
ISOLATION_ROUND_COUNT_MAX = 3  # of a step that keeps failing
HISTORY_EVENTS_PER_ACTIVITY = 6  # its own three and the three of the next workflow task
HISTORY_EVENT_COUNT_MAX = 10_000
_require(
    "a chunk's probes fit in its history",
    (CHUNK_PROBE_COUNT_MAX + 2 * (ISOLATION_ROUND_COUNT_MAX + 2)) * HISTORY_EVENTS_PER_ACTIVITY
    < HISTORY_EVENT_COUNT_MAX,
)
PAYLOAD_BYTES_MAX = 2_097_152  # Temporal's limit
CHARACTER_BYTES_MAX = 4  # in UTF-8
ISOLATED_ITEM_BYTES_MAX = 200  # as JSON, without its detail
_require(
    "a chunk's isolated items fit in a payload",
    CHUNK_PROBE_COUNT_MAX * (EXCEPTION_DETAIL_LENGTH_MAX * CHARACTER_BYTES_MAX + ISOLATED_ITEM_BYTES_MAX)
    < PAYLOAD_BYTES_MAX,
)

# The cap on credits. See decision 0021.
CREDITS_PER_S_MAX = 1_000_000
CREDIT_PACE = 0.97  # the used share of a cap; the rest absorbs varying delays of requests
_require("at least 95% of a cap is used", 0.95 <= CREDIT_PACE <= 1)
CREDIT_TURN_AHEAD_S = 1  # a turn may be taken this long before it begins
CREDIT_TURN_LATE_S_MAX = 0.5  # a turn may be used this long after it began
CREDIT_TURN_WAIT_S_MAX = 3  # within an activity; the workflow makes longer waits
CREDIT_TURN_LEAD_S = 1.5  # a workflow asks this long before its turn
_require(
    "an activity that asks in the lead of a turn can wait for the turn", CREDIT_TURN_LEAD_S < CREDIT_TURN_WAIT_S_MAX
)
_require("a workflow asks for a turn before it can be taken", CREDIT_TURN_AHEAD_S < CREDIT_TURN_LEAD_S)
CREDIT_PROMISE_S_MAX = 600  # turns that begin later are not promised

# The most that one order may credit, in minor units. Settle knows only the currencies listed here.
ORDER_AMOUNT_MINOR_MAX = MappingProxyType(
    {
        "CNY": 50_000_00,
        "EUR": 10_000_00,
        "GBP": 10_000_00,
        "JPY": 1_000_000,
        "PTS": 1_000_000,
        "USD": 10_000_00,
    }
)

# Connections
DATABASE_POOL_SIZE_MAX = 10
DATABASE_CONNECT_TIMEOUT_S = 3
STATEMENT_TIMEOUT_S = 30
LOCK_TIMEOUT_S = 10
_require("waiting for a lock ends before its statement", LOCK_TIMEOUT_S < STATEMENT_TIMEOUT_S)
IDLE_IN_TRANSACTION_TIMEOUT_S = 15
TRANSACTION_TIMEOUT_S = 60
_require("a statement times out before its transaction", STATEMENT_TIMEOUT_S < TRANSACTION_TIMEOUT_S)
TEMPORAL_CONNECT_TIMEOUT_S = 3
CONTROL_ANSWER_TIMEOUT_S = 10  # for a worker's answer to a pause, resume, abort or window
TEMPORAL_RPC_TIMEOUT_S = 5  # one request of a command
COMMAND_START_S = 2.5  # start of a command on a busy machine
UNREACHABLE_TOLD_S = 10  # a command reports an unreachable server within this time
_require(
    "a command reports unreachable servers in time",
    COMMAND_START_S + DATABASE_CONNECT_TIMEOUT_S + TEMPORAL_CONNECT_TIMEOUT_S < UNREACHABLE_TOLD_S,
)
_require(
    "a command reports an unanswered request in time", COMMAND_START_S + TEMPORAL_RPC_TIMEOUT_S < UNREACHABLE_TOLD_S
)

# Kafka
KAFKA_CONNECT_TIMEOUT_S = 4
_require(
    "a command reports unreachable brokers in time",
    COMMAND_START_S + DATABASE_CONNECT_TIMEOUT_S + KAFKA_CONNECT_TIMEOUT_S < UNREACHABLE_TOLD_S,
)
KAFKA_REQUEST_BYTES_MAX = 1_048_576  # the brokers' default limit for a record
KAFKA_LINGER_MS = 5
KAFKA_LOOK_INTERVAL_S = 0.02  # between looks at the state of a Kafka client
KAFKA_SEND_TIMEOUT_S = 30
KAFKA_COMMIT_TIMEOUT_S = 5
KAFKA_REQUEST_TIMEOUT_S = 8
KAFKA_STOP_TIMEOUT_S = 5  # the next producer sends what this one had no time for
KAFKA_SESSION_TIMEOUT_S = 10  # a silent member keeps its partitions this long
KAFKA_HEARTBEAT_INTERVAL_S = 3
_require(
    "a member has several heartbeats before it is removed", KAFKA_HEARTBEAT_INTERVAL_S * 3 < KAFKA_SESSION_TIMEOUT_S
)
KAFKA_FETCH_BYTES_MAX = 8_388_608  # in one response of a broker
TOPIC_PARTITION_COUNT = 6  # of a topic that Settle creates

# Intake
RECORD_BYTES_MAX = 1_048_576  # of a value that is decoded
BULK_EVENT_ELEMENT_COUNT_MAX = 10_000  # checked one by one if one is bad; RECORD_BYTES_MAX cannot hold more valid ones
INTAKE_RECORD_COUNT_MAX = 10_000  # of one poll
_require("the announcements of a poll fit one append", INTAKE_RECORD_COUNT_MAX <= FREEZE_SLICE_ORDER_COUNT)
INTAKE_POLL_BYTES_MAX = 4_194_304  # of values, at which a poll ends; decoded they take several times that
INTAKE_STEP_RECORD_COUNT = 20  # of a poll, between checks of its bytes; each record may be a bulk event
INTAKE_ROUND_COUNT_AFTER_STOP = 10  # of appends, if an order repeats in a poll and the process stops
INTAKE_POLL_S = 0.5
INTAKE_DECODE_S_MAX = 0.05  # then the event loop may send a heartbeat
_require("heartbeats are sent while records are decoded", INTAKE_DECODE_S_MAX * 10 < KAFKA_HEARTBEAT_INTERVAL_S)
INTAKE_RETRY_INITIAL_S = 0.2
INTAKE_RETRY_MAX_S = 2
INTAKE_PRESSURE_LOOK_S = 1
INTAKE_BATCH_SIZE_DEFAULT = 20_000
BATCH_START_ALLOWANCE_S = 2  # from freezing a batch to storing its start
BATCH_WAIT_MIN_S = 3
_require("a batch is frozen before it must be started", BATCH_START_ALLOWANCE_S < BATCH_WAIT_MIN_S)
BACKLOG_HIGH_WATER_DEFAULT = 400_000
BACKLOG_LOW_WATER_DEFAULT = 200_000
_require("intake resumes below the backlog at which it pauses", BACKLOG_LOW_WATER_DEFAULT < BACKLOG_HIGH_WATER_DEFAULT)
BATCH_STUCK_S_DEFAULT = 300
DEAD_LETTER_BYTES_MAX = 524_288  # of a value that is kept
DEAD_LETTER_KEY_BYTES_MAX = 1_024
DEAD_LETTER_HEADER_BYTES_MAX = 65_536  # of a record's own headers; those beyond it are left out
_require(
    "a dead letter fits in a request",
    DEAD_LETTER_BYTES_MAX + DEAD_LETTER_KEY_BYTES_MAX + DEAD_LETTER_HEADER_BYTES_MAX < KAFKA_REQUEST_BYTES_MAX,
)
DEAD_LETTERS_LISTED_MAX = 1_000
DEAD_LETTER_SEND_COUNT = 1_000  # that intake collects before it publishes them
DEAD_LETTER_SLICE_COUNT = 100  # dead letters that are replayed together
BATCH_WAIT_DEFAULT_S = 5  # the longest wait of an order from Kafka for its batch to start
BATCH_WAIT_MAX_S = 3600
_require("the default batch wait is within its bound", BATCH_WAIT_DEFAULT_S <= BATCH_WAIT_MAX_S)

# The relay
RESULT_BUCKET_COUNT = 16  # frozen: outbox rows store which buckets are delivered
RELAY_SLICE_ITEM_COUNT = 2_000
RELAY_LEASE_S = 15
RELAY_RENEW_INTERVAL_S = 3
_require(
    "a relay keeps its lease while it waits for Kafka", RELAY_RENEW_INTERVAL_S + KAFKA_REQUEST_TIMEOUT_S < RELAY_LEASE_S
)
RELAY_POLL_INTERVAL_S = 0.2  # while there is nothing to deliver
RELAY_RETRY_INITIAL_S = 0.2
RELAY_RETRY_MAX_S = 5
RELAY_GRACEFUL_STOP_S = 10
_require("a stopping relay has time to finish its slice", KAFKA_REQUEST_TIMEOUT_S < RELAY_GRACEFUL_STOP_S)

# Commands
REPORT_STATEMENT_TIMEOUT_S = 600  # a report at the terminal, or the audit, may scan everything
WATCH_INTERVAL_S = 0.5
NO_WORKER_NOTICE_S = 5  # a command that waits for a batch looks for workers after this time

# Workers
WORKER_ACTIVITY_SLOT_COUNT = 8
WORKER_WORKFLOW_TASK_SLOT_COUNT = 1_000  # a chunk holds one while it is settled in one step, or waits for it
_require("a batch's own tasks have slots beside those of all its chunks", WINDOW_MAX < WORKER_WORKFLOW_TASK_SLOT_COUNT)
WORKER_LOCAL_ACTIVITY_SLOT_COUNT = 2  # to validate one chunk while another one is credited
_require(
    "every activity slot has a pool connection",
    WORKER_ACTIVITY_SLOT_COUNT + WORKER_LOCAL_ACTIVITY_SLOT_COUNT <= DATABASE_POOL_SIZE_MAX,
)
WORKER_ACTIVITY_POLL_COUNT = 2  # a worker that freezes may hold one task per poll
_require("there are no more activity polls than slots", WORKER_ACTIVITY_POLL_COUNT <= WORKER_ACTIVITY_SLOT_COUNT)
WORKER_GRACEFUL_SHUTDOWN_S = 10
TEMPORAL_PING_INTERVAL_S = 1  # to notice when it comes back. See decision 0003
TEMPORAL_PING_TIMEOUT_S = 2
TEMPORAL_PING_MISS_COUNT = 2  # in a row; then Temporal is unreachable

# Readiness over HTTP
HEALTH_CHECK_INTERVAL_S = 3
HEALTH_CHECK_TIMEOUT_S = 5
HEALTH_FRESH_S = 10  # a system that has not answered for this long is unreachable
_require(
    "one failed health check does not count as an outage",
    HEALTH_CHECK_INTERVAL_S + HEALTH_CHECK_TIMEOUT_S < HEALTH_FRESH_S,
)
HEALTH_ANSWER_S = 1  # to finish responses when the process ends

# The sweep of each worker. See decision 0015.
SWEEP_INTERVAL_S = 5
SWEEP_GRACE_S = 5  # for the opener to start a batch, and for intake to freeze its own
_require("the opener of a batch can start it before the sweep does", TEMPORAL_RPC_TIMEOUT_S <= SWEEP_GRACE_S)
SWEEP_FAILED_PAUSE_S = 600  # a failed workflow may fail again; this leaves a person time to look
_require("not every sweep restarts a failed workflow", SWEEP_INTERVAL_S < SWEEP_FAILED_PAUSE_S)

# The daily schedule. See decision 0011.
SCHEDULE_CATCHUP_WINDOW_S = 24 * 3600  # a run missed for longer is skipped; the next one takes its orders
_require("a missed run can be caught up until the next one", SCHEDULE_CATCHUP_WINDOW_S >= 24 * 3600)
SCHEDULE_CHECKED_DAY_COUNT = 3_653  # ten years, in which every business date must have a run
SCHEDULE_FIRES_SHOWN_MAX = 5
SCHEDULE_TRIGGER_TIMEOUT_S = 10
SCHEDULE_TRIGGER_POLL_S = 0.1

# Temporal. docs/explanation/timeouts.md says why these are safe for slow activities.
WORKFLOW_TASK_TIMEOUT_S = 3
STICKY_SCHEDULE_TO_START_TIMEOUT_S = 1
HEARTBEAT_INTERVAL_S = 0.5
HEARTBEAT_TIMEOUT_S = 3
_require("an activity has several heartbeats before it times out", HEARTBEAT_INTERVAL_S * 3 <= HEARTBEAT_TIMEOUT_S)
LOCAL_ACTIVITY_QUEUE_S = 2  # a chunk that waits longer for a slot is not settled in one step
LOCAL_ACTIVITY_TIMEOUT_S = 5
_require("waiting for a slot times out before the work in it", LOCAL_ACTIVITY_QUEUE_S < LOCAL_ACTIVITY_TIMEOUT_S)
_require(
    "unknown orders are asked for again while a chunk is settled in one step",
    sum(UNKNOWN_ORDER_PAUSES_S) < LOCAL_ACTIVITY_TIMEOUT_S,
)
_require(
    "a chunk that is settled in one step can wait for its turn to send credits",
    CREDIT_TURN_WAIT_S_MAX < LOCAL_ACTIVITY_TIMEOUT_S,
)
_require(
    "a chunk is settled in one step within a worker's graceful shutdown",
    LOCAL_ACTIVITY_QUEUE_S + LOCAL_ACTIVITY_TIMEOUT_S < WORKER_GRACEFUL_SHUTDOWN_S,
)
CHUNK_ACTIVITY_TIMEOUT_S = 120
_require(
    "a transaction times out before the activity that waits for it", TRANSACTION_TIMEOUT_S < CHUNK_ACTIVITY_TIMEOUT_S
)
_require(
    "an attempt has time to wait for a turn to send credits",
    CREDIT_TURN_WAIT_S_MAX + TRANSACTION_TIMEOUT_S < CHUNK_ACTIVITY_TIMEOUT_S,
)
_require(
    "an attempt has time to ask for unknown orders again",
    sum(UNKNOWN_ORDER_PAUSES_S) + TRANSACTION_TIMEOUT_S < CHUNK_ACTIVITY_TIMEOUT_S,
)
BATCH_ACTIVITY_TIMEOUT_S = 4 * 3600
_require("a batch activity may take longer than a chunk's", CHUNK_ACTIVITY_TIMEOUT_S < BATCH_ACTIVITY_TIMEOUT_S)
ACTIVITY_RETRY_INITIAL_S = 0.2
ACTIVITY_RETRY_BACKOFF = 2.0
ACTIVITY_RETRY_MAX_S = 2
RESUME_AFTER_OUTAGE_S = 5  # from a server's return until work resumes
_require("intake resumes soon after PostgreSQL is back", INTAKE_RETRY_MAX_S < RESUME_AFTER_OUTAGE_S)
_require("work resumes soon after PostgreSQL is back", ACTIVITY_RETRY_MAX_S < RESUME_AFTER_OUTAGE_S)
_require(
    "work resumes soon after Temporal is back",
    TEMPORAL_PING_INTERVAL_S + TEMPORAL_PING_TIMEOUT_S < RESUME_AFTER_OUTAGE_S,
)
ACTIVITY_DEADLINE_S = 24 * 3600  # all attempts of one activity together
CUTOFF_AHEAD_S_MAX = 60  # clocks of servers differ by less; freezing waits until the store's clock reaches the cutoff
_require("freezing can wait for its cutoff", CUTOFF_AHEAD_S_MAX < ACTIVITY_DEADLINE_S)
_require("one attempt times out before all attempts together do", BATCH_ACTIVITY_TIMEOUT_S < ACTIVITY_DEADLINE_S)
CREDIT_DEADLINE_DEFAULT_S = 3600  # of retrying credit requests without an answer
_require("the credit deadline ends before the activity's deadline", CREDIT_DEADLINE_DEFAULT_S < ACTIVITY_DEADLINE_S)
CHUNK_READ_RETRY_INITIAL_S = 1
CHUNK_READ_RETRY_MAX_S = 10
# How long to wait for a chunk that runs under another parent, before each new try to start it: one hour in total.
CHUNK_READ_DEADLINES_S = (10, 60, 600, 2930)


def batch_order_count_max(chunk_size: int) -> int:
    """Return the most orders that a batch with this chunk size takes. The next batch takes the rest."""
    return min(BATCH_ORDER_COUNT_MAX, CHUNK_COUNT_MAX * chunk_size)
