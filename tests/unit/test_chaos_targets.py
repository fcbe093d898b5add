"""A fault hits all processes of a server, because one that continued would hide the fault's effect."""

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.chaos.targets import Server, TargetError
from tests.support.settlements import eventually

PARENT_AND_CHILD = "trap 'exit 0' TERM; sleep 60 & wait"


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[psutil.Process]:
    started = subprocess.Popen(["bash", "-c", PARENT_AND_CHILD])
    parent = psutil.Process(started.pid)
    write_pid_file(tmp_path, parent, parent.create_time())
    family = [parent, *parent.children()]
    yield parent
    for process in [*family, *(parent.children() if parent.is_running() else [])]:
        if process.is_running():
            process.kill()
    started.wait()


def write_pid_file(directory: Path, process: psutil.Process, create_time_s: float) -> None:
    told = {"pid": process.pid, "start_time_s": create_time_s - psutil.boot_time()}
    (directory / "pid.json").write_text(json.dumps(told))


async def family_of(parent: psutil.Process) -> list[psutil.Process]:
    async def has_child() -> list[psutil.Process]:
        return parent.children()

    return [parent, *await eventually(has_child)]


async def until_all_are(family: list[psutil.Process], *statuses: str) -> None:
    async def are_so() -> bool:
        return all(process.status() in statuses for process in family)

    await eventually(are_so)


async def test_a_frozen_server_does_nothing_until_it_is_thawed(parent: psutil.Process, tmp_path: Path) -> None:
    family = await family_of(parent)
    server = Server(tmp_path / "pid.json", lambda: None)
    server.freeze()
    await until_all_are(family, psutil.STATUS_STOPPED)
    server.thaw()
    await until_all_are(family, psutil.STATUS_SLEEPING)


async def test_a_killed_server_leaves_no_process_behind_although_it_is_frozen(
    parent: psutil.Process, tmp_path: Path
) -> None:
    family = await family_of(parent)
    server = Server(tmp_path / "pid.json", lambda: None)
    server.freeze()
    server.kill()
    assert [process for process in family if process.is_running()] == []


async def test_a_server_that_leaves_a_process_behind_is_told(
    parent: psutil.Process, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = await family_of(parent)
    monkeypatch.setattr("tests.chaos.targets.END_TIMEOUT_S", 0.5)
    with pytest.raises(TargetError, match="did not end"):
        Server(tmp_path / "pid.json", lambda: None, signal.SIGTERM).stop()
    family[1].kill()


async def test_a_process_that_only_has_the_id_of_a_server_is_left_alone(parent: psutil.Process, tmp_path: Path) -> None:
    write_pid_file(tmp_path, parent, parent.create_time() - 60)
    Server(tmp_path / "pid.json", lambda: None).end()
    assert parent.is_running()
