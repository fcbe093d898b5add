"""If a server is down, silent or incomplete, each command says so in time, exits with 3 and shows no password."""

import contextlib
import socket
import socketserver
import struct
import threading
from collections.abc import Callable, Iterator

import psycopg
import pytest

from runtime.stack_state import StackState
from schemas.orders import OrderRecord
from tests.e2e.conftest import Commands, Finished
from tests.support.databases import url_of
from tests.support.settlements import eventually

PASSWORD = "hunter2"  # noqa: S105 (of a server that does not exist)
NO_PORT = 1  # nothing listens on an unused privileged port
RUN, BATCHES, AUDIT, MIGRATE, WORKER = ("run",), ("batches", "--json"), ("audit", "--json"), ("migrate",), ("worker",)
STATUS, WATCH, REPORT = ("status", "some-batch", "--json"), ("watch", "some-batch"), ("report", "some-batch", "--json")
RELAY, INTAKE, DLQ, PUBLISH = ("relay",), ("intake",), ("dlq", "list", "--json"), ("import", "orders.csv", "--publish")
PAUSE, WINDOW = ("pause", "some-batch"), ("window", "some-batch", "3")
ACCOUNT, IMPORT = ("account", "show", "A1", "--json"), ("import", "orders.csv", "--json")
Fault = Callable[[], dict[str, str]]


class Silent(socketserver.BaseRequestHandler):
    """Reads what is sent and never answers."""

    def handle(self) -> None:
        while self.request.recv(4096):
            pass


class WrongPassword(socketserver.BaseRequestHandler):
    """Answers as PostgreSQL does to a wrong password."""

    def handle(self) -> None:
        self.receive()  # the request for TLS
        self.request.sendall(b"N")
        self.receive()
        self.request.sendall(b"R" + struct.pack("!ii", 8, 3))
        assert PASSWORD.encode() in self.request.recv(4096)
        said = b'SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed for user "settle"\0\0'
        self.request.sendall(b"E" + struct.pack("!i", 4 + len(said)) + said)

    def receive(self) -> None:
        (length,) = struct.unpack("!i", self.request.recv(4, socket.MSG_WAITALL))
        self.request.recv(length - 4, socket.MSG_WAITALL)


@contextlib.contextmanager
def serving(handler: type[socketserver.BaseRequestHandler]) -> Iterator[str]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield "{}:{}".format(*server.server_address[:2])
        server.shutdown()


@pytest.fixture
def faults(stack: StackState) -> Iterator[dict[str, Fault]]:
    """The settings that make a command meet each fault, by the fault's name."""
    with contextlib.ExitStack() as servers:

        def database(address: str) -> dict[str, str]:
            return {"SETTLE_DATABASE_URL": f"postgresql://settle:{PASSWORD}@{address}/settle"}

        def kafka(address: str) -> dict[str, str]:
            credentials = {"KAFKA_SASL_USERNAME": "settle", "KAFKA_SASL_PASSWORD": PASSWORD}
            return {
                "KAFKA_BOOTSTRAP_SERVERS": address,
                "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
                **credentials,
            }

        def temporal(address: str) -> dict[str, str]:
            return {"TEMPORAL_ADDRESS": address, "TEMPORAL_API_KEY": PASSWORD, "TEMPORAL_TLS": "false"}

        yield {
            "PostgreSQL refuses": lambda: database(f"127.0.0.1:{NO_PORT}"),
            "PostgreSQL is silent": lambda: database(servers.enter_context(serving(Silent))),
            "PostgreSQL's host is unknown": lambda: database("postgresql.invalid"),
            "the password is wrong": lambda: database(servers.enter_context(serving(WrongPassword))),
            "the database is missing": lambda: {"SETTLE_DATABASE_URL": url_of(stack.database_url, "nowhere")},
            "Temporal refuses": lambda: temporal(f"127.0.0.1:{NO_PORT}"),
            "Temporal is silent": lambda: temporal(servers.enter_context(serving(Silent))),
            "Temporal's host is unknown": lambda: temporal("temporal.invalid:7233"),
            "the namespace is missing": lambda: {"TEMPORAL_NAMESPACE": "nowhere"},
            "Kafka refuses": lambda: kafka(f"127.0.0.1:{NO_PORT}"),
            "Kafka is silent": lambda: kafka(servers.enter_context(serving(Silent))),
            "Kafka's host is unknown": lambda: kafka("kafka.invalid:9092"),
        }


def assert_refused(finished: Finished, *parts: str) -> None:
    assert finished.returncode == 3, finished.stdout + finished.stderr
    assert finished.stdout == ""
    assert finished.stderr.startswith("settle: ")
    assert "Traceback" not in finished.stderr
    assert PASSWORD not in finished.stderr
    for part in parts:
        assert part in finished.stderr


SAID = {
    "PostgreSQL refuses": ("PostgreSQL", f"127.0.0.1:{NO_PORT}", "connection refused", "Check that it runs"),
    "PostgreSQL is silent": ("PostgreSQL", "127.0.0.1", "no answer within 3 s", "Check that it runs"),
    "PostgreSQL's host is unknown": ("PostgreSQL", "postgresql.invalid", "host name is not known", "its URL is right"),
    "the password is wrong": ("PostgreSQL", 'failed for user "settle"', "Check the user and the password"),
    "the database is missing": ("PostgreSQL", 'database "nowhere" does not exist', "Create the database"),
    "Temporal refuses": ("Temporal", f"127.0.0.1:{NO_PORT}", "connection refused", "TEMPORAL_ADDRESS"),
    "Temporal is silent": ("Temporal", "127.0.0.1", "no answer within 3 s", "TEMPORAL_ADDRESS"),
    "Temporal's host is unknown": ("Temporal", "temporal.invalid:7233", "host name is not known", "TEMPORAL_ADDRESS"),
    "the namespace is missing": ("Temporal", "'nowhere'", "namespace create --namespace nowhere", "TEMPORAL_NAMESPACE"),
    "Kafka refuses": ("Kafka", f"127.0.0.1:{NO_PORT}", "Check that it runs", "KAFKA_BOOTSTRAP_SERVERS"),
    "Kafka is silent": ("Kafka", "127.0.0.1", "no answer within 4 s", "KAFKA_BOOTSTRAP_SERVERS"),
    "Kafka's host is unknown": ("Kafka", "kafka.invalid:9092", "Check that it runs", "KAFKA_BOOTSTRAP_SERVERS"),
}


@pytest.mark.parametrize(
    ("command", "fault"),
    [
        (RUN, "PostgreSQL refuses"),
        (RUN, "PostgreSQL's host is unknown"),
        (RUN, "Temporal refuses"),
        (RUN, "Temporal is silent"),
        (RUN, "Temporal's host is unknown"),
        (RUN, "the namespace is missing"),
        (BATCHES, "PostgreSQL is silent"),
        (BATCHES, "the password is wrong"),
        (STATUS, "the database is missing"),
        (STATUS, "PostgreSQL refuses"),
        (WATCH, "PostgreSQL refuses"),
        (WATCH, "the password is wrong"),
        (REPORT, "PostgreSQL's host is unknown"),
        (REPORT, "the database is missing"),
        (AUDIT, "PostgreSQL refuses"),
        (AUDIT, "PostgreSQL is silent"),
        (ACCOUNT, "PostgreSQL refuses"),
        (ACCOUNT, "the password is wrong"),
        (IMPORT, "PostgreSQL refuses"),
        (IMPORT, "the database is missing"),
        (MIGRATE, "PostgreSQL is silent"),
        (MIGRATE, "the password is wrong"),
        (MIGRATE, "the database is missing"),
        (MIGRATE, "Temporal refuses"),
        (MIGRATE, "the namespace is missing"),
        (WORKER, "PostgreSQL refuses"),
        (WORKER, "the password is wrong"),
        (WORKER, "Temporal refuses"),
        (WORKER, "the namespace is missing"),
        (WORKER, "Temporal is silent"),
        (RELAY, "PostgreSQL refuses"),
        (RELAY, "Kafka refuses"),
        (RELAY, "Kafka is silent"),
        (RELAY, "Kafka's host is unknown"),
        (INTAKE, "PostgreSQL refuses"),
        (INTAKE, "Kafka refuses"),
        (INTAKE, "Kafka is silent"),
        (DLQ, "Kafka refuses"),
        (DLQ, "Kafka's host is unknown"),
        (PUBLISH, "Kafka refuses"),
        (MIGRATE, "Kafka refuses"),
        (PAUSE, "PostgreSQL refuses"),
        (PAUSE, "Temporal is silent"),
        (WINDOW, "the namespace is missing"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else value,
)
def test_a_server_that_is_away_is_told_with_the_time_that_it_was_given(
    commands: Commands, faults: dict[str, Fault], command: tuple[str, ...], fault: str
) -> None:
    (commands.directory / "orders.csv").write_text(",".join(OrderRecord._fields) + "\n")
    commands.is_patient = False
    environment = faults[fault]()
    finished = commands.run(*command, **environment)
    assert_refused(finished, *SAID[fault])


def test_each_of_several_databases_that_are_away_is_named(commands: Commands) -> None:
    finished = commands.run(
        "batches",
        SETTLE_ORDER_CENTER_URL=f"postgresql://settle:{PASSWORD}@127.0.0.1:{NO_PORT}/orders",
        SETTLE_FUND_PLATFORM_URL=f"postgresql://settle:{PASSWORD}@postgresql.invalid/funds",
    )
    assert_refused(finished, f"127.0.0.1:{NO_PORT}/orders", "postgresql.invalid/funds")


async def test_on_a_newer_schema_commands_and_workers_go_on_and_say_so(commands: Commands) -> None:
    with psycopg.connect(commands.database_url) as connection:
        connection.execute("INSERT INTO settlement._yoyo_migration VALUES ('none', '9999.later', now())")
    listed = commands.run(*BATCHES)
    assert listed.returncode == 0
    assert listed.stdout.startswith("{")
    assert "settlement is newer than this version" in listed.stderr
    assert "9999.later" in listed.stderr
    assert "settlement: newer than this version" in commands.ok(*MIGRATE)
    log = commands.directory / "worker.log"

    async def serves() -> bool:
        return "serves the task queue" in log.read_text()

    with commands.worker():
        await eventually(serves)
    assert "settlement is newer than this version" in log.read_text()
