"""Every wrong call of a command prints one sentence on stderr and nothing on stdout, with the documented exit code."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest
import typer
from typer.core import TyperGroup

from domain import limits
from runtime.stack_state import StackState
from schemas.orders import OrderRecord
from starters.cli import build_app
from tests.architecture.test_docs_links import VARIABLES
from tests.e2e.conftest import Commands, Finished
from tests.support.databases import cloned_database
from tools.reference.commands import commands_of

PASSWORD = "hunter2"  # noqa: S105 (the embedded PostgreSQL asks for none)
NO_UTF8 = b"id-\xff".decode("utf-8", "surrogateescape")
CLEARS_SCREEN = "id\x1b[2J"
TOO_LONG = "x" * (limits.BATCH_ID_LENGTH_MAX + 1)
NO_ID = "cannot be an id: an id has 1 to 100 printable characters. Copy the id again."
NO_BATCH_ID = "cannot name a batch: use up to 100 letters, digits, dots, colons, dashes and underscores, beginning with"
NO_BATCH = "settle: There is no batch nowhere. List the batches with: settle batches"
NO_ACCOUNT = "settle: The Fund Platform has no account nobody. Check its id."
NO_SCHEDULE = (
    "settle: There is no schedule wrong-calls-daily in Temporal's namespace default. "
    "Create it with: settle schedule apply"
)
OUTCOMES = "is not valid. Give one or more of failed, rejected, held, separated by commas."
BY_ID = [
    *(("pause",), ("resume",), ("abort",), ("status",), ("watch",), ("report",), ("rerun",), ("order",)),
    *(("account", "show"), ("account", "close"), ("account", "reopen")),
]


class Wrong(NamedTuple):
    """A call and the expected message, without the frame around it."""

    arguments: tuple[str, ...]
    says: str
    environment: Mapping[str, str] = {}

    def __str__(self) -> str:
        return " ".join((*(f"{name}={value}" for name, value in self.environment.items()), *self.arguments))[:60]


def invalid(arguments: tuple[str, ...], option: str, says: str) -> Wrong:
    return Wrong(arguments, f"Invalid value for '{option}': {says}")


WRONG_CALLS = [
    # Names that do not exist
    Wrong(("status", "nowhere"), NO_BATCH),
    Wrong(("status", "nowhere", "--json"), NO_BATCH),
    Wrong(("watch", "nowhere"), NO_BATCH),
    Wrong(("report", "nowhere"), NO_BATCH),
    Wrong(("report", "nowhere", "--json"), NO_BATCH),
    Wrong(("rerun", "nowhere"), NO_BATCH),
    *(Wrong((command, "nowhere"), NO_BATCH) for command in ("pause", "resume", "abort")),
    Wrong(("window", "nowhere", "3"), NO_BATCH),
    Wrong(("window", "nowhere"), "Missing argument 'N'."),
    Wrong(("window", NO_UTF8, "3"), f"settle: 'id-\\udcff' {NO_ID}"),
    invalid(("window", "nowhere", "0"), "N", "Input should be greater than or equal to 1"),
    invalid(("window", "nowhere", "201"), "N", "Input should be less than or equal to 200"),
    invalid(("window", "nowhere", "wide"), "N", "Input should be a valid integer"),
    Wrong(("rerun", "nowhere", "--reason", "account_closed"), NO_BATCH),
    Wrong(("order", "nothing"), "settle: Order nothing was not found in the Order Center, in any batch or in the"),
    Wrong(("account", "show", "nobody"), NO_ACCOUNT),
    Wrong(("account", "close", "nobody"), NO_ACCOUNT),
    Wrong(("account", "reopen", "nobody", "--json"), NO_ACCOUNT),
    Wrong(("schedule", "show"), NO_SCHEDULE),
    Wrong(("schedule", "show", "--json"), NO_SCHEDULE),
    Wrong(("schedule", "trigger"), NO_SCHEDULE),
    Wrong(("schedule", "delete"), NO_SCHEDULE),
    Wrong(("import", "nowhere.csv"), "settle: nowhere.csv cannot be read: No such file or directory."),
    Wrong(("frobnicate",), "No such command 'frobnicate'."),
    Wrong(("schedule", "pause"), "No such command 'pause'."),
    Wrong(("status",), "Missing argument 'BATCH'."),
    Wrong(("audit", "--fast"), "No such option: --fast"),
    Wrong(("batches", "mine"), "Got unexpected extra argument(s) (mine)"),
    # Invalid ids
    *(Wrong((*command, NO_UTF8), f"settle: 'id-\\udcff' {NO_ID}") for command in BY_ID),
    Wrong(("status", CLEARS_SCREEN), f"settle: 'id\\x1b[2J' {NO_ID}"),
    Wrong(("order", "two\nlines"), f"settle: 'two\\nlines' {NO_ID}"),
    Wrong(("account", "close", CLEARS_SCREEN), f"settle: 'id\\x1b[2J' {NO_ID}"),
    Wrong(("report", ""), f"settle: '' {NO_ID}"),
    Wrong(("account", "show", ""), f"settle: '' {NO_ID}"),
    Wrong(("order", TOO_LONG), f"settle: '{TOO_LONG[:-1]}' {NO_ID}"),
    Wrong(("run", "--batch-id", "no/slash"), f"settle: 'no/slash' {NO_BATCH_ID}"),
    Wrong(("run", "--batch-id", "demo.chunk-000000"), f"settle: 'demo.chunk-000000' {NO_BATCH_ID}"),
    Wrong(("run", "--batch-id", "temporal-sys-scheduler"), f"settle: 'temporal-sys-scheduler' {NO_BATCH_ID}"),
    Wrong(("run", "--batch-id", TOO_LONG), f"settle: '{TOO_LONG}' {NO_BATCH_ID}"),
    Wrong(("run", "--batch-id", ""), f"settle: '' {NO_BATCH_ID}"),
    Wrong(("run", "--batch-id", "two\nlines"), f"settle: 'two\\nlines' {NO_BATCH_ID}"),
    Wrong(("run", "--batch-id", NO_UTF8), f"settle: 'id-\\udcff' {NO_BATCH_ID}"),
    # Values out of bounds
    invalid(("run", "--chunk-size", "0"), "--chunk-size", "Input should be greater than or equal to 1"),
    invalid(("run", "--chunk-size", "10001"), "--chunk-size", "Input should be less than or equal to 10000"),
    invalid(("run", "--chunk-size", "many"), "--chunk-size", "Input should be a valid integer"),
    invalid(("run", "--window", "0"), "--window", "Input should be greater than or equal to 1"),
    invalid(("run", "--window", "-1"), "--window", "Input should be greater than or equal to 1"),
    invalid(("run", "--window", "201"), "--window", "Input should be less than or equal to 200"),
    invalid(("run", "--credits-per-s", "0"), "--credits-per-s", "Input should be greater than or equal to 1"),
    invalid(("run", "--business-date", "tomorrow"), "--business-date", "'tomorrow' is not a date. Give a year, month"),
    invalid(("run", "--business-date", "2026-02-30"), "--business-date", "'2026-02-30' is not a date. Give a year,"),
    invalid(("run", "--business-date", ""), "--business-date", "'' is not a date. Give a year, month and day, such"),
    Wrong(("run", "--business-date", "2999-01-01"), "settle: Business date 2999-01-01 has not reached its cutoff yet."),
    Wrong(("run", "--business-date", "1969-12-31"), "settle: Business date 1969-12-31 is before the year 1970."),
    Wrong(("run", "--business-date", "0001-01-01"), "settle: Business date 0001-01-01 is before the year 1970."),
    invalid(("rerun", "nowhere", "--outcome", "settled"), "--outcome", f"'settled' {OUTCOMES}"),
    invalid(("rerun", "nowhere", "--outcome", "held,"), "--outcome", f"'held,' {OUTCOMES}"),
    invalid(("rerun", "nowhere", "--outcome", ""), "--outcome", f"'' {OUTCOMES}"),
    invalid(("rerun", "nowhere", "--reason", "POOR"), "--reason", "'POOR' is not a reason code. See the batch's"),
    invalid(("rerun", "nowhere", "--reason", ""), "--reason", "'' is not a reason code. See the batch's reason codes"),
    invalid(("sample", "o.csv", "--orders", "0"), "--orders", "Input should be greater than or equal to 1"),
    invalid(("sample", "o.csv", "--orders", "100000001"), "--orders", "Input should be less than or equal to 100000"),
    invalid(("sample", "o.csv", "--orders", "9", "--bad-rate", "1.1"), "--bad-rate", "Input should be less than or"),
    invalid(("sample", "o.csv", "--orders", "9", "--bad-rate", "nan"), "--bad-rate", "Input should be less than or"),
    invalid(("sample", "o.csv", "--orders", "9", "--seed", "-1"), "--seed", "Input should be greater than or equal"),
    Wrong(("sample", "o.csv"), "Missing option '--orders'."),
    Wrong(("sample", "no/o.csv", "--orders", "9"), "settle: 'no/o.csv' could not be written: No such file or directo"),
    Wrong(("sample", ".", "--orders", "9"), "settle: '.' could not be written: Is a directory. Name a file in a"),
    Wrong(("sample", "\x1b[2J/o.csv", "--orders", "9"), "settle: '\\x1b[2J/o.csv' could not be written: No such file"),
    Wrong(
        ("stack", "status", "--dir", NO_UTF8), "'id-\N{REPLACEMENT CHARACTER}' is not UTF-8 text. PostgreSQL needs a"
    ),
    Wrong(("stack", "down", "--dir", NO_UTF8), "'id-\N{REPLACEMENT CHARACTER}' is not UTF-8 text. PostgreSQL needs a"),
    # Settings
    *(
        Wrong(command, "settle: No Kafka broker is set and no embedded stack runs here. Set KAFKA_BOOTSTRAP_SERVERS")
        for command in (("relay",), ("intake",), ("dlq", "list"), ("dlq", "list", "--json"), ("dlq", "replay"))
    ),
    Wrong(
        ("dlq", "replay", "--offset", "7"),
        "settle: '7' does not name a dead letter. Give PARTITION:OFFSET as shown by: settle dlq list",
    ),
    Wrong(
        ("intake",),
        "settle: The settings are wrong: KAFKA_SECURITY_PROTOCOL SASL_SSL needs KAFKA_SASL_USERNAME and "
        "KAFKA_SASL_PASSWORD.",
        {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "KAFKA_SECURITY_PROTOCOL": "SASL_SSL"},
    ),
    Wrong(
        ("intake",),
        "settle: The settings are wrong: SETTLE_BACKLOG_LOW_WATER must be under SETTLE_BACKLOG_HIGH_WATER.",
        {"SETTLE_BACKLOG_LOW_WATER": "9", "SETTLE_BACKLOG_HIGH_WATER": "9"},
    ),
    Wrong(
        ("schedule", "apply"),
        "settle: A daily run at 02:30:00 Europe/Berlin is not safe.",
        {"SETTLE_SCHEDULE_TIME_LOCAL": "02:30", "SETTLE_CUTOFF_TIMEZONE": "Europe/Berlin"},
    ),
    Wrong(
        ("schedule", "apply"),
        "settle: The task queue 'a/b' cannot begin the ids of a schedule's batches",
        {"SETTLE_TASK_QUEUE": "a/b"},
    ),
    Wrong(
        ("prune",),
        "settle: The settings are wrong: SETTLE_RETENTION_DAYS: Input should be greater than or equal to 1.",
        {"SETTLE_RETENTION_DAYS": "0"},
    ),
    *(
        Wrong(
            command,
            "settle: Temporal's environment configuration (TEMPORAL_*) is wrong: Profile 'nope' not found.",
            {"TEMPORAL_PROFILE": "nope"},
        )
        for command in (("run",), ("migrate",), ("worker",), ("schedule", "show"))
    ),
]
# By setting. The settings in ANY_TEXT accept any text.
ANY_TEXT = {"SETTLE_STACK_DIR", "SETTLE_TEMPORAL_UI_URL", "KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD"}
MALFORMED = {
    "SETTLE_DATABASE_URL": f"mysql://settle:{PASSWORD}@localhost/x",
    "SETTLE_ORDER_CENTER_URL": PASSWORD,
    "SETTLE_FUND_PLATFORM_URL": f"postgres//settle:{PASSWORD}@localhost",
    "SETTLE_TASK_QUEUE": "",
    "SETTLE_CUTOFF_TIME_LOCAL": "06:00+08:00",
    "SETTLE_CUTOFF_TIMEZONE": "Mars/Olympus",
    "SETTLE_SCHEDULE_TIME_LOCAL": "06:00:00.5",
    "SETTLE_CHUNK_SIZE": "10001",
    "SETTLE_RETENTION_DAYS": "-777",
    "SETTLE_WINDOW": "wide",
    "SETTLE_REJECTED_PERCENT_MAX": "-1.5",
    "SETTLE_REJECTED_COUNT_MAX": "-1111",
    "SETTLE_FAILED_PERCENT_MAX": "100.5",
    "SETTLE_FAILED_COUNT_MAX": "-2222",
    "SETTLE_TOPIC_PREFIX": "a/b",
    "SETTLE_INTAKE_INSTANCE_ID": "i" * 101,
    "SETTLE_INTAKE_BATCH_SIZE": "-888",
    "SETTLE_BACKLOG_HIGH_WATER": "-999",
    "SETTLE_BACKLOG_LOW_WATER": "-555",
    "SETTLE_BATCH_STUCK_S": "-444",
    "SETTLE_BATCH_WAIT_S_MAX": "-333",
    "SETTLE_CREDITS_PER_S": "-3333",
    "SETTLE_CREDIT_DEADLINE_S": "-4444",
    "SETTLE_HEALTH_PORT": "70000",
    "KAFKA_BOOTSTRAP_SERVERS": "kafka.example",
    "KAFKA_SECURITY_PROTOCOL": "TELNET",
    "KAFKA_SASL_MECHANISM": "GUESS",
}
ON_THE_DATABASE = [
    *(
        ("worker",),
        ("relay",),
        ("intake",),
        ("import", "orders.csv", "--json"),
        ("run",),
        ("batches", "--json"),
        ("audit", "--json"),
        ("prune",),
    ),
    *((*command, "some-id") for command in BY_ID),
    ("window", "some-id", "3"),
    *(("schedule", "apply"), ("schedule", "show"), ("schedule", "trigger"), ("schedule", "delete")),
]


def assert_refused(finished: Finished, exit_code: int, says: str) -> None:
    told = finished.stderr
    assert finished.returncode == exit_code, finished.stdout + told
    assert finished.stdout == ""
    assert "Traceback" not in told
    assert "Value error" not in told
    assert PASSWORD not in told
    assert all(character.isprintable() or character == "\n" for character in told), told
    if told.startswith("settle: "):
        assert len(told.splitlines()) == 1, told
    else:
        assert told.startswith("Usage: settle "), told
        assert "--help' for help." in told
    assert says in " ".join(told.replace("│", " ").split()), told


def batch_count(commands: Commands) -> int:
    with psycopg.connect(commands.database_url) as connection:
        row = connection.execute("SELECT count(*) FROM settlement.batches").fetchone()
    assert row
    return int(row[0])


def newest_migration() -> str:
    names = sorted(file.name for file in files("settlement_store.postgres").joinpath("migrations").iterdir())
    return names[-1].removesuffix(".sql")


@contextmanager
def commands_on(stack: StackState, directory: Path, *statements: str) -> Iterator[Commands]:
    """Yield commands on a database prepared by statements. Its URL has a password, which must never be shown."""
    with cloned_database(stack.database_url, "template_all") as url:
        with psycopg.connect(url) as connection:
            for statement in statements:
                connection.execute(statement)
        (directory / "orders.csv").write_text(",".join(OrderRecord._fields) + "\n")
        yield Commands(
            directory,
            {
                "SETTLE_DATABASE_URL": url.replace("postgres@", f"postgres:{PASSWORD}@"),
                "TEMPORAL_ADDRESS": stack.temporal_address,
                "SETTLE_TASK_QUEUE": "wrong-calls",
            },
        )


@pytest.fixture(scope="module")
def up_to_date(stack: StackState, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    """Shared by the rows that change nothing."""
    with commands_on(stack, tmp_path_factory.mktemp("up-to-date")) as commands:
        assert PASSWORD in commands.database_url
        yield commands


@pytest.fixture(scope="module")
def outdated(stack: StackState, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    """A database as the previous version of Settle left it, with one migration less."""
    with commands_on(
        stack,
        tmp_path_factory.mktemp("outdated"),
        "DELETE FROM settlement._yoyo_migration "
        "WHERE migration_id = (SELECT max(migration_id) FROM settlement._yoyo_migration)",
    ) as commands:
        yield commands


@pytest.fixture(scope="module")
def newer(stack: StackState, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    """A database as a later version of Settle leaves it, with one migration more."""
    with commands_on(
        stack,
        tmp_path_factory.mktemp("newer"),
        "INSERT INTO settlement._yoyo_migration VALUES ('none', '9999.later', now())",
    ) as commands:
        yield commands


@pytest.fixture(scope="module")
def crowded(stack: StackState, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    """A database with the most unclosed batches, an overdue order, and a closed batch with an item to rerun."""
    with commands_on(
        stack,
        tmp_path_factory.mktemp("crowded"),
        "INSERT INTO settlement.batches (batch_id, source, state, business_date, cutoff_at, chunk_size, window_size) "
        "SELECT format('crowd-%s', to_char(n, 'FM000')), 'manual', 'open', '2026-01-01', '2026-01-01Z', 100, 1 "
        f"FROM generate_series(1, {limits.UNCLOSED_BATCH_COUNT_MAX}) AS n",
        "INSERT INTO settlement.batches (batch_id, source, state, business_date, cutoff_at, chunk_size, window_size) "
        "VALUES ('to-rerun', 'manual', 'closed', '2026-01-01', '2026-01-01Z', 100, 1)",
        "INSERT INTO settlement.items (batch_no, item_no, claim_no, amount_minor, order_id, account_id, currency) "
        "SELECT batch_no, 0, 1, 5, 'O1', 'A1', 'USD' FROM settlement.batches WHERE batch_id = 'to-rerun'",
        "INSERT INTO settlement.claims (order_id, batch_no, item_no, claim_no, is_held) "
        "SELECT order_id, batch_no, item_no, claim_no, false FROM settlement.items",
        "INSERT INTO settlement.exception_items (batch_no, item_no, outcome, reason_code) "
        "SELECT batch_no, item_no, 'rejected', 'ACCOUNT_CLOSED' FROM settlement.items",
    ) as commands:
        (commands.directory / "one.csv").write_text(
            ",".join(OrderRecord._fields) + "\nO2,A1,1000,0,USD,completed,2025-01-06T00:00:00Z,2025-01-13T00:00:00Z\n"
        )
        commands.ok("import", "one.csv")
        yield commands


@pytest.mark.parametrize("wrong", WRONG_CALLS, ids=str)
def test_a_wrong_call_is_a_sentence_and_exit_code_2(up_to_date: Commands, wrong: Wrong) -> None:
    finished = up_to_date.run(*wrong.arguments, **wrong.environment)
    assert_refused(finished, 2, wrong.says)
    assert batch_count(up_to_date) == 0
    assert [path.name for path in up_to_date.directory.iterdir()] == ["orders.csv"]


@pytest.mark.parametrize("command", ["batches", "run", "migrate", "worker"])
def test_all_malformed_settings_are_named_at_once_and_no_value_is_shown(up_to_date: Commands, command: str) -> None:
    finished = up_to_date.run(command, **MALFORMED)
    assert_refused(finished, 2, "settle: The settings are wrong: ")
    for name, value in MALFORMED.items():
        assert f"{name}: " in finished.stderr
        assert not value or value not in finished.stderr


def test_every_setting_that_can_be_malformed_is_in_the_table() -> None:
    assert set(VARIABLES) - ANY_TEXT == MALFORMED.keys()


def test_without_a_stack_and_without_settings_a_command_says_what_to_do(up_to_date: Commands) -> None:
    finished = up_to_date.run("batches", SETTLE_DATABASE_URL="")
    assert_refused(finished, 3, "Set SETTLE_DATABASE_URL. Or start the embedded stack with: settle stack up")


def test_a_stack_that_cannot_be_started_is_a_sentence(up_to_date: Commands) -> None:
    finished = up_to_date.run("stack", "up", "--dir", "orders.csv/stack")
    assert_refused(finished, 3, "settle: Tried to start the embedded stack in")


@pytest.mark.parametrize("command", ON_THE_DATABASE, ids=" ".join)
def test_an_outdated_schema_is_refused_by_every_command_on_the_database(
    outdated: Commands, command: tuple[str, ...]
) -> None:
    finished = outdated.run(*command)
    lacks = f"settle: The database schema settlement is not up to date: it lacks {newest_migration()}. "
    assert_refused(finished, 3, lacks)
    assert "Bring it up to date with: settle migrate" in finished.stderr


def test_every_command_on_the_database_is_in_the_table() -> None:
    group = typer.main.get_command(build_app())
    assert isinstance(group, TyperGroup)
    names = {name for name, _ in commands_of(group) if not name.startswith(("stack ", "dlq "))} - {"migrate", "sample"}
    assert names == {" ".join(call[: 2 if call[0] in ("account", "schedule") else 1]) for call in ON_THE_DATABASE}


def test_a_database_that_was_never_migrated_is_refused(commands: Commands) -> None:
    with psycopg.connect(commands.database_url) as connection:
        connection.execute("DROP SCHEMA settlement CASCADE")
    assert_refused(commands.run("run"), 3, "settlement is not up to date: it lacks 0001.batches, 0002.reruns, ")


@pytest.mark.parametrize(
    "command",
    [("batches", "--json"), ("audit", "--json"), ("import", "orders.csv", "--json"), ("run",), ("prune",)],
    ids=" ".join,
)
def test_a_newer_schema_is_worked_with_and_told_once(newer: Commands, command: tuple[str, ...]) -> None:
    finished = newer.run(*command)
    assert finished.returncode == 0, finished.stderr
    [notice] = finished.stderr.splitlines()
    assert notice.startswith("settle: The database schema settlement is newer than this version of Settle: it has 9999")
    if "--json" in command:
        json.loads(finished.stdout)
    else:
        assert len(finished.stdout.splitlines()) == 1


@pytest.mark.parametrize("command", [("run",), ("rerun", "to-rerun")], ids=" ".join)
def test_with_too_many_unclosed_batches_none_is_opened_and_the_oldest_are_named(
    crowded: Commands, command: tuple[str, ...]
) -> None:
    before = batch_count(crowded)
    finished = crowded.run(*command)
    assert_refused(
        finished, 1, f"was not opened: {limits.UNCLOSED_BATCH_COUNT_MAX} batches are open, frozen or running"
    )
    assert "The oldest are crowd-001, crowd-002, " in finished.stderr
    assert "Find out what they wait for. See: settle status crowd-001" in finished.stderr
    assert batch_count(crowded) == before
