"""Every bound of Settle, each with its relations to those above it, which are checked at import.

Timeouts and retry policies in `workflows.activity_options` are built from these. Units come last.
"""

from types import MappingProxyType

from domain.errors import InvariantViolationError
from schemas.wire import events


def _require(relation: str, holds: bool) -> None:
    if not holds:
        raise InvariantViolationError(f"domain/limits.py contradicts itself: it should give {relation}.")


# Sizes. 5,000 orders a chunk: the orchestration costs per chunk, the SQL per order, and a failure hits a chunk.
CHUNK_SIZE_DEFAULT = 5_000
CHUNK_SIZE_MAX = 10_000
_require("a chunk size default within its bound", CHUNK_SIZE_DEFAULT <= CHUNK_SIZE_MAX)
WINDOW_DEFAULT = 12
WINDOW_MAX = 200
_require("a window default within its bound", WINDOW_DEFAULT <= WINDOW_MAX)
_require("children well under Temporal's 2,000 pending ones", WINDOW_MAX <= 500)
CHUNK_COUNT_MAX = 999_999  # what six digits in a chunk's workflow id can name
UNCLOSED_BATCH_COUNT_MAX = 100
UNCLOSED_BATCHES_NAMED_MAX = 5
BATCH_ORDER_COUNT_MAX = 100_000_000
FREEZE_SLICE_ORDER_COUNT = 10_000
FREEZE_SLICES_AT_A_TIME = 3
BALANCE_SLICE_ITEM_COUNT = 10_000
BALANCE_SLICES_AT_A_TIME = 3
CREDIT_CALLS_AT_A_TIME = 1  # of one process, where accounts are rows of PostgreSQL
BALANCE_READ_COUNT_MAX = 3  # at a slice that shows a credit of a rejected order
PRUNE_STEP_ITEM_COUNT = 10_000
PRUNE_SLICE_BATCH_COUNT = 100
RETENTION_DAYS_DEFAULT = 400
AUDIT_SLICE_ORDER_COUNT = 10_000
AUDIT_SLICES_AT_A_TIME = 3
AUDIT_BREAK_COUNT_MAX = 1_000
BATCH_LIST_COUNT_MAX = 100
ORDER_LIFE_ROW_COUNT_MAX = 100  # the newest items of an order that are shown, and the newest conflicting offers
LOAD_ROW_COUNT = 5_000
UNKNOWN_ORDER_PAUSES_S = (0.25, 0.5, 1, 2)  # before an order without a record is asked for again
EXCEPTION_DETAIL_LENGTH_MAX = 500
AMOUNT_DIGIT_COUNT_MAX = 10  # of an amount in an order file
_require(
    "the amounts of a full batch, good or bad, fit a 64-bit sum",
    BATCH_ORDER_COUNT_MAX * 10**AMOUNT_DIGIT_COUNT_MAX < 2**63,
)
ORDER_LINE_BYTES_MAX = 8_192  # of an order file; a slice keeps its lines in memory
IDENTIFIER_LENGTH_MAX = 64  # an order or account id, in characters
_require(
    "what can be imported can be announced",
    (IDENTIFIER_LENGTH_MAX, 10**AMOUNT_DIGIT_COUNT_MAX - 1) == (events.IDENTIFIER_LENGTH_MAX, events.AMOUNT_MINOR_MAX),
)
BATCH_ID_LENGTH_MAX = 100
CONTROL_TEXT_LENGTH_MAX = 500  # of who asks for an action, and of the reason
CONTROL_ACTIONS_SHOWN_MAX = 100  # the newest of a batch
HOLD_SLICE_CHUNK_COUNT = 100  # of an aborted batch
CHUNK_PROBE_COUNT_MAX = 400  # probes for bad items, in one chunk
BATCH_PROBE_COUNT_MAX = 2_000  # and in one batch, until a person resumes it
_require("a batch has probes for several chunks", CHUNK_PROBE_COUNT_MAX < BATCH_PROBE_COUNT_MAX)
REJECTED_PERCENT_MAX_DEFAULT = 25
REJECTED_COUNT_MAX_DEFAULT = 1_000
FAILED_PERCENT_MAX_DEFAULT = 1
FAILED_COUNT_MAX_DEFAULT = 100
FAIRNESS_KEY_BYTES_MAX = 64  # Temporal's

# Isolating poison orders. See decision 0020.
ISOLATION_ROUND_COUNT_MAX = 3  # of a step that goes on failing
HISTORY_EVENTS_PER_ACTIVITY = 6  # its own three, and those of the workflow task that follows
HISTORY_EVENT_COUNT_MAX = 10_000
_require(
    "a chunk's probes fit its history",
    (CHUNK_PROBE_COUNT_MAX + 2 * (ISOLATION_ROUND_COUNT_MAX + 2)) * HISTORY_EVENTS_PER_ACTIVITY
    < HISTORY_EVENT_COUNT_MAX,
)
PAYLOAD_BYTES_MAX = 2_097_152  # Temporal's
CHARACTER_BYTES_MAX = 4  # in UTF-8
ISOLATED_ITEM_BYTES_MAX = 200  # as JSON, without its detail
_require(
    "a chunk's isolated items fit a payload",
    CHUNK_PROBE_COUNT_MAX * (EXCEPTION_DETAIL_LENGTH_MAX * CHARACTER_BYTES_MAX + ISOLATED_ITEM_BYTES_MAX)
    < PAYLOAD_BYTES_MAX,
)

# The cap on credits. See decision 0021.
CREDITS_PER_S_MAX = 1_000_000
CREDIT_PACE = 0.97  # of the cap is used: requests that take longer or shorter to arrive do not go over it
_require("nine tenths of a cap are used", 0.95 <= CREDIT_PACE <= 1)
CREDIT_TURN_AHEAD_S = 1  # so long before it begins, a turn may be taken
CREDIT_TURN_LATE_S_MAX = 0.5  # so long after it began, it may still be used
CREDIT_TURN_WAIT_S_MAX = 3  # within an activity; longer waits are the workflow's
CREDIT_TURN_LEAD_S = 1.5  # so long before its turn, a workflow asks for it
_require("who is told to come before a turn waits for it on the spot", CREDIT_TURN_LEAD_S < CREDIT_TURN_WAIT_S_MAX)
_require("a turn that is not taken yet is told in advance", CREDIT_TURN_AHEAD_S < CREDIT_TURN_LEAD_S)
CREDIT_PROMISE_S_MAX = 600  # turns that begin later are promised to no one

# The most that one order may credit, in minor units. A currency that is not here is not known to Settle.
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
_require("a lock is given up before its statement", LOCK_TIMEOUT_S < STATEMENT_TIMEOUT_S)
IDLE_IN_TRANSACTION_TIMEOUT_S = 15
TRANSACTION_TIMEOUT_S = 60
_require("a statement is given up before its transaction", STATEMENT_TIMEOUT_S < TRANSACTION_TIMEOUT_S)
TEMPORAL_CONNECT_TIMEOUT_S = 3
CONTROL_ANSWER_TIMEOUT_S = 10  # of a worker, to a pause or the like
TEMPORAL_RPC_TIMEOUT_S = 5  # one request of a command
COMMAND_START_S = 2.5  # of a command, on a busy machine
UNREACHABLE_TOLD_S = 10  # within this a command says what it could not reach
_require(
    "servers that are away are told in time",
    COMMAND_START_S + DATABASE_CONNECT_TIMEOUT_S + TEMPORAL_CONNECT_TIMEOUT_S < UNREACHABLE_TOLD_S,
)
_require(
    "a request that is not answered is told in time", COMMAND_START_S + TEMPORAL_RPC_TIMEOUT_S < UNREACHABLE_TOLD_S
)

# Kafka
KAFKA_CONNECT_TIMEOUT_S = 4
_require(
    "brokers that are away are told in time",
    COMMAND_START_S + DATABASE_CONNECT_TIMEOUT_S + KAFKA_CONNECT_TIMEOUT_S < UNREACHABLE_TOLD_S,
)
KAFKA_REQUEST_BYTES_MAX = 1_048_576  # the brokers' own default for a record
KAFKA_LINGER_MS = 5
KAFKA_LOOK_INTERVAL_S = 0.02  # between looks at what a client knows by now
KAFKA_SEND_TIMEOUT_S = 30
KAFKA_COMMIT_TIMEOUT_S = 5
KAFKA_REQUEST_TIMEOUT_S = 8
KAFKA_STOP_TIMEOUT_S = 5  # what a producer had no time to send is sent again by the next one
KAFKA_SESSION_TIMEOUT_S = 10  # how long a member that says nothing keeps its partitions
KAFKA_HEARTBEAT_INTERVAL_S = 3
_require("several heartbeats before a member is given up", KAFKA_HEARTBEAT_INTERVAL_S * 3 < KAFKA_SESSION_TIMEOUT_S)
KAFKA_FETCH_BYTES_MAX = 8_388_608  # in one answer of a broker
TOPIC_PARTITION_COUNT = 6  # of a topic that Settle creates

# Intake
RECORD_BYTES_MAX = 1_048_576  # of a value that is decoded
BULK_EVENT_ELEMENT_COUNT_MAX = 10_000  # of a bulk event with a bad one: more cannot all be events in so many bytes
INTAKE_RECORD_COUNT_MAX = 10_000  # of one poll
_require("a poll's announcements fit one append", INTAKE_RECORD_COUNT_MAX <= FREEZE_SLICE_ORDER_COUNT)
INTAKE_POLL_BYTES_MAX = 4_194_304  # of values, at which a poll ends; what is read from them takes several times that
INTAKE_STEP_RECORD_COUNT = 20  # of a poll, between looks at the bytes: each may be a bulk event
INTAKE_ROUND_COUNT_AFTER_STOP = 10  # of a poll in which one order comes again and again
INTAKE_POLL_S = 0.5
INTAKE_DECODE_S_MAX = 0.05  # before the heartbeat gets its turn
_require("the heartbeat has its turn while records are decoded", INTAKE_DECODE_S_MAX * 10 < KAFKA_HEARTBEAT_INTERVAL_S)
INTAKE_RETRY_INITIAL_S = 0.2
INTAKE_RETRY_MAX_S = 2
INTAKE_PRESSURE_LOOK_S = 1
INTAKE_BATCH_SIZE_DEFAULT = 20_000
BATCH_START_ALLOWANCE_S = 2  # from the freezing of a batch until its start is stored
BATCH_WAIT_MIN_S = 3
_require("a batch is frozen before it has to be started", BATCH_START_ALLOWANCE_S < BATCH_WAIT_MIN_S)
BACKLOG_HIGH_WATER_DEFAULT = 400_000
BACKLOG_LOW_WATER_DEFAULT = 200_000
_require("intake resumes under the mark at which it pauses", BACKLOG_LOW_WATER_DEFAULT < BACKLOG_HIGH_WATER_DEFAULT)
BATCH_STUCK_S_DEFAULT = 300
DEAD_LETTER_BYTES_MAX = 524_288  # of a value that is kept
DEAD_LETTER_KEY_BYTES_MAX = 1_024
DEAD_LETTER_HEADER_BYTES_MAX = 65_536  # of a record's own headers; more than that are left out
_require(
    "a dead letter fits a request",
    DEAD_LETTER_BYTES_MAX + DEAD_LETTER_KEY_BYTES_MAX + DEAD_LETTER_HEADER_BYTES_MAX < KAFKA_REQUEST_BYTES_MAX,
)
DEAD_LETTERS_LISTED_MAX = 1_000
DEAD_LETTER_SEND_COUNT = 1_000  # that intake collects before it writes them
DEAD_LETTER_SLICE_COUNT = 100  # of dead letters sent again at a time
BATCH_WAIT_DEFAULT_S = 5  # that an order from Kafka waits at most for its batch to start
BATCH_WAIT_MAX_S = 3600
_require("a batch wait default within its bound", BATCH_WAIT_DEFAULT_S <= BATCH_WAIT_MAX_S)

# The relay
RESULT_BUCKET_COUNT = 16  # frozen: outbox rows say which of these are delivered
RELAY_SLICE_ITEM_COUNT = 2_000
RELAY_LEASE_S = 15
RELAY_RENEW_INTERVAL_S = 3
_require(
    "a relay keeps its lease while it waits for Kafka", RELAY_RENEW_INTERVAL_S + KAFKA_REQUEST_TIMEOUT_S < RELAY_LEASE_S
)
RELAY_POLL_INTERVAL_S = 0.2  # while nothing is to be delivered
RELAY_RETRY_INITIAL_S = 0.2
RELAY_RETRY_MAX_S = 5
RELAY_GRACEFUL_STOP_S = 10
_require("a relay that stops has time for the slice in hand", KAFKA_REQUEST_TIMEOUT_S < RELAY_GRACEFUL_STOP_S)

# Commands
REPORT_STATEMENT_TIMEOUT_S = 600  # one at the terminal, or the audit, may scan everything
WATCH_INTERVAL_S = 0.5

# Workers
WORKER_ACTIVITY_SLOT_COUNT = 8
WORKER_WORKFLOW_TASK_SLOT_COUNT = 1_000  # a chunk holds one while it is settled at once, or waits to be
_require("a batch's own tasks have slots beside all its chunks", WINDOW_MAX < WORKER_WORKFLOW_TASK_SLOT_COUNT)
WORKER_LOCAL_ACTIVITY_SLOT_COUNT = 2  # one chunk is validated while another one is credited
_require(
    "a pool connection for every activity slot",
    WORKER_ACTIVITY_SLOT_COUNT + WORKER_LOCAL_ACTIVITY_SLOT_COUNT <= DATABASE_POOL_SIZE_MAX,
)
WORKER_ACTIVITY_POLL_COUNT = 2  # each may take a task with it when a worker stands still
_require("no more polls than slots", WORKER_ACTIVITY_POLL_COUNT <= WORKER_ACTIVITY_SLOT_COUNT)
WORKER_GRACEFUL_SHUTDOWN_S = 10
TEMPORAL_PING_INTERVAL_S = 1  # to see when it comes back; docs/explanation/timeouts.md
TEMPORAL_PING_TIMEOUT_S = 2
TEMPORAL_PING_MISS_COUNT = 2  # in a row: Temporal is away

# Readiness over HTTP
HEALTH_CHECK_INTERVAL_S = 3
HEALTH_CHECK_TIMEOUT_S = 5
HEALTH_FRESH_S = 10  # what has not answered for so long is away
_require("one look that fails is no outage", HEALTH_CHECK_INTERVAL_S + HEALTH_CHECK_TIMEOUT_S < HEALTH_FRESH_S)
HEALTH_ANSWER_S = 1  # for who is being answered when the process ends

# The sweep of each worker. See decision 0015.
SWEEP_INTERVAL_S = 5
SWEEP_GRACE_S = 5  # for who opened a batch to start it, and for intake to freeze its own
_require("who opened a batch starts it before the sweep does", TEMPORAL_RPC_TIMEOUT_S <= SWEEP_GRACE_S)
SWEEP_FAILED_PAUSE_S = 600  # a batch whose workflow failed may fail again; a person should have time to look
_require("a workflow that fails is not started again by every sweep", SWEEP_INTERVAL_S < SWEEP_FAILED_PAUSE_S)

# The daily schedule. See decision 0011.
SCHEDULE_CATCHUP_WINDOW_S = 24 * 3600  # a run missed for longer is left out: the next one takes its orders
_require("a run that was missed is caught up until the next one", SCHEDULE_CATCHUP_WINDOW_S >= 24 * 3600)
SCHEDULE_CHECKED_DAY_COUNT = 3_653  # ten years, through which the clocks must leave no business date without a run
SCHEDULE_FIRES_SHOWN_MAX = 5
SCHEDULE_TRIGGER_TIMEOUT_S = 10
SCHEDULE_TRIGGER_POLL_S = 0.1

# Temporal. docs/explanation/timeouts.md says why these are safe for slow activities.
WORKFLOW_TASK_TIMEOUT_S = 3
STICKY_SCHEDULE_TO_START_TIMEOUT_S = 1
HEARTBEAT_INTERVAL_S = 0.5
HEARTBEAT_TIMEOUT_S = 3
_require("several heartbeats before one is missed", HEARTBEAT_INTERVAL_S * 3 <= HEARTBEAT_TIMEOUT_S)
LOCAL_ACTIVITY_QUEUE_S = 2  # a chunk that waited longer when a slot is free is not settled at once
LOCAL_ACTIVITY_TIMEOUT_S = 5
_require("slots are left to who can use them", LOCAL_ACTIVITY_QUEUE_S < LOCAL_ACTIVITY_TIMEOUT_S)
_require(
    "unknown orders are asked for while a chunk is settled at once",
    sum(UNKNOWN_ORDER_PAUSES_S) < LOCAL_ACTIVITY_TIMEOUT_S,
)
_require(
    "a turn to send credits is waited for while a chunk is settled at once",
    CREDIT_TURN_WAIT_S_MAX < LOCAL_ACTIVITY_TIMEOUT_S,
)
_require(
    "a chunk is settled at once within a worker's grace",
    LOCAL_ACTIVITY_QUEUE_S + LOCAL_ACTIVITY_TIMEOUT_S < WORKER_GRACEFUL_SHUTDOWN_S,
)
CHUNK_ACTIVITY_TIMEOUT_S = 120
_require("PostgreSQL gives up before the activity that waits for it", TRANSACTION_TIMEOUT_S < CHUNK_ACTIVITY_TIMEOUT_S)
_require(
    "a turn to send credits is waited for within an attempt",
    CREDIT_TURN_WAIT_S_MAX + TRANSACTION_TIMEOUT_S < CHUNK_ACTIVITY_TIMEOUT_S,
)
_require(
    "unknown orders are asked for within an attempt",
    sum(UNKNOWN_ORDER_PAUSES_S) + TRANSACTION_TIMEOUT_S < CHUNK_ACTIVITY_TIMEOUT_S,
)
BATCH_ACTIVITY_TIMEOUT_S = 4 * 3600
_require("a batch activity outlives a chunk's", CHUNK_ACTIVITY_TIMEOUT_S < BATCH_ACTIVITY_TIMEOUT_S)
ACTIVITY_RETRY_INITIAL_S = 0.2
ACTIVITY_RETRY_BACKOFF = 2.0
ACTIVITY_RETRY_MAX_S = 2
RESUME_AFTER_OUTAGE_S = 5  # from a server's return until work goes on
_require("intake goes on soon after PostgreSQL is back", INTAKE_RETRY_MAX_S < RESUME_AFTER_OUTAGE_S)
_require("work goes on soon after PostgreSQL is back", ACTIVITY_RETRY_MAX_S < RESUME_AFTER_OUTAGE_S)
_require(
    "work goes on soon after Temporal is back",
    TEMPORAL_PING_INTERVAL_S + TEMPORAL_PING_TIMEOUT_S < RESUME_AFTER_OUTAGE_S,
)
ACTIVITY_DEADLINE_S = 24 * 3600  # all the attempts of one activity together
_require("an attempt ends before all attempts do", BATCH_ACTIVITY_TIMEOUT_S < ACTIVITY_DEADLINE_S)
CREDIT_DEADLINE_DEFAULT_S = 3600  # of asking for credits that the Fund Platform does not answer
_require("credits are given up before the activity that asks for them", CREDIT_DEADLINE_DEFAULT_S < ACTIVITY_DEADLINE_S)
CHUNK_READ_RETRY_INITIAL_S = 1
CHUNK_READ_RETRY_MAX_S = 10
# How long a chunk that runs under another parent is waited for before its start is tried again: an hour in all.
CHUNK_READ_DEADLINES_S = (10, 60, 600, 2930)


def batch_order_count_max(chunk_size: int) -> int:
    """The most orders that a batch with this chunk size takes; the rest stays for the next batch."""
    return min(BATCH_ORDER_COUNT_MAX, CHUNK_COUNT_MAX * chunk_size)
