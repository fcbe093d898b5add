"""The packages and the files that the Dockerfile puts into the image are enough."""

import re
import shlex
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from starters.cli import build_app
from tests.e2e.conftest import Commands

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
TIMEOUT_S = 180
MIGRATED = ["order_center: up to date", "fund_platform: up to date", "settlement: up to date"]


def copy_context(build: Path) -> None:
    """Copy the files that are sent to Docker."""
    for name in re.findall(r"(?m)^!(.+)$", (ROOT / ".dockerignore").read_text()):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, build / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, build / name)


def install_checkout(site: Path, build: Path) -> None:
    """Run the last command of the Dockerfile."""
    *_, command = re.findall(r"(?m)^RUN python (-m pip install .+)$", DOCKERFILE)
    options = ["--quiet", "--no-cache-dir", "--target", str(site)]
    subprocess.run([sys.executable, *shlex.split(command), *options], cwd=build, check=True)


def link_packages(site: Path, build: Path) -> None:
    """Link the image's packages from this environment, except those for another system."""
    [lock_file] = re.findall(r"(?m)^RUN python -m pip install --require-hashes --requirement (\S+)$", DOCKERFILE)
    assert f"\nCOPY {lock_file} .\n" in DOCKERFILE
    lock = (build / lock_file).read_text()
    for name, marker in re.findall(r"(?m)^([a-z0-9.-]+)==\S+( ;.*)? \\$", lock):
        if "win32" in marker:
            continue
        distribution = metadata.distribution(name)
        for part in {file.parts[0] for file in distribution.files or [] if file.parts[0] != ".."}:
            if not (site / part).exists():
                (site / part).symlink_to(str(distribution.locate_file(part)))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image's site-packages."""
    directory = tmp_path_factory.mktemp("image")
    build = directory / "build"
    build.mkdir()
    copy_context(build)
    install_checkout(directory / "site", build)
    link_packages(directory / "site", build)
    return directory / "site"


def run_in_image(site: Path, commands: Commands, *arguments: str) -> str:
    """Run `settle` with only the standard library and the image's packages."""
    main = f"import sys; sys.path.append({str(site)!r}); from settle import main; main()"
    finished = subprocess.run(
        [sys.executable, "-I", "-S", "-c", main, *arguments],
        env=commands.environment,
        cwd="/",
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_the_image_has_all_that_the_commands_need(site: Path, commands: Commands) -> None:
    group = get_command(build_app())
    assert isinstance(group, TyperGroup)
    told = run_in_image(site, commands, "--help")
    assert [name for name in group.commands if name not in told] == []
    assert run_in_image(site, commands, "migrate").splitlines()[:3] == MIGRATED
    assert "clean: no breaks" in run_in_image(site, commands, "audit")
