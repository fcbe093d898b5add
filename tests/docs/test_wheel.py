"""The wheel, installed in its own environment, settles a batch without the checkout."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["root_packages"]
NEIGHBOURS = {"database", "runtime"}
FOREIGN = "raise ImportError('This module belongs to another program.')\n"
FIND_ORIGINS = """
import importlib.util, sys
specs = map(importlib.util.find_spec, sys.argv[1:])
print([spec and spec.origin for spec in specs])
"""
ORDER_COUNT = 2_000
INSTALL_TIMEOUT_S = 600  # a first run downloads every dependency
COMMAND_TIMEOUT_S = 180  # only to detect a hang


class Installation(NamedTuple):
    """A virtual environment with only Settle, its dependencies and two modules of another program."""

    programs: Path
    site_packages: Path

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment variables of a fresh login, whatever the tests' shell has set."""
        return {"PATH": f"{self.programs}:{os.defpath}", "HOME": os.environ.get("HOME", "/")}

    def run(self, program: str, *arguments: str, directory: Path) -> str:
        finished = subprocess.run(
            [self.programs / program, *arguments],
            cwd=directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
        assert finished.returncode == 0, finished.stdout + finished.stderr
        return finished.stdout

    @contextmanager
    def running_worker(self, directory: Path) -> Iterator[None]:
        log_file = directory / "worker.log"
        with log_file.open("wb") as log:
            worker = subprocess.Popen(
                [self.programs / "settle", "worker"], cwd=directory, env=self.environment, stdout=log, stderr=log
            )
        try:
            yield
        finally:
            worker.terminate()
            try:
                exit_code = worker.wait(COMMAND_TIMEOUT_S)
            finally:
                worker.kill()
        assert exit_code == 0, log_file.read_text()


def build_wheel(directory: Path) -> Path:
    """Build the wheel as `make wheel` does."""
    options = "--quiet --no-deps --no-build-isolation --no-index --wheel-dir"
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options.split(), directory, ROOT], check=True)
    [wheel] = directory.glob("settle-*.whl")
    return wheel


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    directory = tmp_path_factory.mktemp("installation")
    wheel = build_wheel(directory)
    environment = directory / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = environment / "bin/python"
    # The lock's versions without its hashes: with any hash, pip wants one for the wheel, too.
    lock = (ROOT / "requirements.lock").read_text()
    versions = directory / "versions.txt"
    versions.write_text(re.sub(r" \\\n +--hash=\S+", "", lock))
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "--python", python, "install", "--quiet"),
            *("--constraint", versions, f"settle[local] @ {wheel.as_uri()}"),
        ],
        check=True,
        timeout=INSTALL_TIMEOUT_S,
    )
    [site_packages] = environment.glob("lib/python*/site-packages")
    for module in NEIGHBOURS:
        (site_packages / f"{module}.py").write_text(FOREIGN)
    return Installation(python.parent, site_packages)


@pytest.mark.timeout(INSTALL_TIMEOUT_S + 60)
def test_it_adds_one_package_and_other_programs_see_no_room(installation: Installation, tmp_path: Path) -> None:
    [distribution] = metadata.distributions(name="settle", path=[str(installation.site_packages)])
    top_level = {file.parts[0] for file in distribution.files or []}
    assert top_level == {"settle", f"settle-{distribution.version}.dist-info", ".."}
    assert [str(file) for file in distribution.files or [] if file.parts[0] == ".."] == ["../../../bin/settle"]

    found = ast.literal_eval(installation.run("python", "-c", FIND_ORIGINS, *PACKAGES, directory=tmp_path))
    foreign = {module: str(installation.site_packages / f"{module}.py") for module in NEIGHBOURS}
    assert dict(zip(PACKAGES, found, strict=True)) == dict.fromkeys(PACKAGES) | foreign


@pytest.mark.timeout(INSTALL_TIMEOUT_S + 240)
def test_a_batch_is_settled_from_an_empty_folder(installation: Installation, tmp_path: Path) -> None:
    def settle(*arguments: str) -> str:
        return installation.run("settle", *arguments, directory=tmp_path)

    try:
        settle("stack", "up")
        settle("migrate")
        settle("sample", "orders.csv", "--orders", str(ORDER_COUNT))
        settle("import", "orders.csv")
        with installation.running_worker(tmp_path):
            settle("run", "--batch-id", "first", "--wait")
        report = json.loads(settle("report", "first", "--json"))
    finally:
        settle("stack", "down")
    assert (report["state"], report["balanced"]) == ("closed", True)
    assert report["planned"]["order_count"] == ORDER_COUNT
