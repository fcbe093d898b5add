"""The commands of the tutorial, the how-tos and the other docs run as they stand there, in their order."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from runtime.stack_state import StackState
from tests.docs.settle_server import served_settle
from tests.e2e.test_docs_commands import PAGES, RUN_PAGES, console_lines_of
from tests.support.databases import lent_database
from tests.support.documented import (
    DOCS,
    README,
    ROOT,
    SHELL,
    TIMEOUT_S,
    TUTORIAL,
    environment_without_settings,
    missing_lines,
    run_page,
    steps_of,
    world_environment,
)


@pytest.mark.timeout(TIMEOUT_S + 60)
def test_the_tutorial_runs_as_it_stands(tmp_path: Path) -> None:
    (tmp_path / ".venv").symlink_to(sys.prefix)
    environment = environment_without_settings()
    try:
        outputs = run_page(TUTORIAL, tmp_path, environment)
    finally:
        subprocess.run([".venv/bin/settle", "stack", "down"], cwd=tmp_path, env=environment, check=True)
    assert missing_from(outputs, TUTORIAL) == []
    for process in ("worker", "relay", "intake"):
        assert f"{process} has stopped" in (tmp_path / f"{process}.log").read_text()
    assert "results delivered" in (tmp_path / "relay.log").read_text()
    assert not (tmp_path / ".settle/stack/stack.json").exists()


@pytest.fixture(scope="module")
def settle_directory() -> Iterator[Path]:
    """A folder for the PATH with a `settle` that starts faster than the installed one, which the tutorial uses."""
    with TemporaryDirectory() as directory, served_settle(Path(directory)) as served:
        yield served


@pytest.mark.timeout(TIMEOUT_S + 60)
@pytest.mark.parametrize("path", RUN_PAGES, ids=lambda path: path.stem)
def test_a_how_to_runs_as_it_stands(
    path: Path, stack: StackState, stack_dir: Path, settle_directory: Path, tmp_path: Path
) -> None:
    with lent_database(stack.database_url, "template_all") as database_url:
        world = world_environment(stack, stack_dir, database_url, f"{path.stem}-{os.getpid()}")
        environment = environment_without_settings() | world
        environment["PATH"] = f"{settle_directory}{os.pathsep}{environment['PATH']}"
        outputs = run_page(path, tmp_path, environment)
    assert missing_from(outputs, path) == []


def missing_from(outputs: list[str], path: Path) -> list[str]:
    """Return the lines that a page shows and a run of it did not print."""
    return [
        f"{line!r} is not in {output}"
        for step, output in zip(steps_of(path), outputs, strict=True)
        for line in missing_lines(step.shown, output)
    ]


def test_every_command_of_the_other_docs_runs_here_or_in_ci(tmp_path: Path) -> None:
    """They run unchanged in a copy of the checkout, one after another."""
    checkout = tmp_path / "checkout"
    shutil.copytree(ROOT, checkout, ignore=shutil.ignore_patterns(".*", "__pycache__"))
    (checkout / ".venv").symlink_to(sys.prefix)
    in_ci = set(re.findall(r"(?m)^run (make [\w-]+)", (ROOT / ".ci/run").read_text()))
    suites = ("test", "test-docs", "test-kafka", "test-simulator")
    assert in_ci == {f"make {target}" for target in ("check", *suites, "demo", "incident", "simulate", "chaos")}
    others = [path for path in DOCS if path not in (README, TUTORIAL, *PAGES)]
    lines = [line.split("#")[0].strip() for line in console_lines_of(*others)]
    assert len(lines) > len(in_ci)
    for line in lines:
        if line not in in_ci:
            ended = subprocess.run(
                ["bash", "-c", SHELL + line],
                cwd=checkout,
                env=os.environ | {"MAKEFILE": str(ROOT / "Makefile"), "PYTEST_ADDOPTS": "-p no:cacheprovider"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
                check=False,
            )
            assert ended.returncode == 0, f"{line}\n{ended.stdout}\n{ended.stderr}"
