"""The commands of the docs exist, and those of the README's day run, in their order, as they stand there.

`make demo` and `make test` are run from a clean clone by `.ci/run`; here their targets are looked up only.
"""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from bench.demo import SAMPLE_SEED
from schemas.wire.reasons import REASON_SENTENCES, ReasonCode
from starters.cli import build_app
from starters.sample import DEFAULT_BAD_RATE, write_sample

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
MAKEFILE = (ROOT / "Makefile").read_text()
DOCS = [README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^ *```(?P<language>\w*)\n(?P<text>.*?)^ *```$", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"`([^`\n]+)`")
IN_A_CONTAINER = re.compile(r"^docker compose exec \w+ ")
DAY_TIMEOUT_S = 900  # against hanging alone
DEMO_ORDER_COUNT = 100_000

# The README's `make` is that of the checkout, run in a folder of the test's own; `.venv` is there and is left as it is.
SHELL = """
set -eEuo pipefail
trap 'echo "exit code $? of: $BASH_COMMAND" >&2' ERR
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
make() { command make --no-print-directory --file "$MAKEFILE" --old-file .venv/.ready "$@"; }
"""


class Said(NamedTuple):
    """A command as a document says it; in a code block it is complete, elsewhere it may have BLANKS in it."""

    path: Path
    text: str
    is_complete: bool


def lines_of(block: re.Match[str]) -> list[str]:
    """The commands of a block: in a console the lines with a prompt, in a script all."""
    lines = [line.strip() for line in block["text"].replace("\\\n", " ").splitlines()]
    if block["language"] == "console":
        return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    return [line for line in lines if line and not line.startswith("#")]


def commands_said() -> Iterator[Said]:
    for path in DOCS:
        text = path.read_text()
        for block in BLOCK.finditer(text):
            if block["language"] in ("console", "bash", "sh"):
                for line in lines_of(block):
                    for part in re.split(r"&&|;|\||&", line):
                        yield Said(path, IN_A_CONTAINER.sub("", part), is_complete=True)
        for code in CODE.findall(BLOCK.sub("", text)):
            if re.match(r"(\S*/)?(settle|make|python) ", code):
                yield Said(path, code, is_complete=False)


SAID = [said for said in commands_said() if re.match(r"\s*(\S*/)?(settle|make|python|pytest)\b", said.text)]


SETTLE = get_command(build_app())


def require_settle(words: list[str], *, is_complete: bool) -> None:
    command, name, arguments = SETTLE, "settle", words
    while isinstance(command, TyperGroup) and arguments:
        name, *arguments = arguments
        assert name in command.commands, f"there is no command {name}"
        command = command.commands[name]
    options = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    assert {word for word in arguments if word.startswith("-")} <= options
    if is_complete:
        for file in (word for word in arguments if word.endswith(".csv")):
            Path(file).touch()
        command.make_context(name, arguments)


def require_make(words: list[str]) -> None:
    for word in words:
        variable, is_set, _ = word.partition("=")
        if is_set:
            assert f"$({variable})" in MAKEFILE, f"make has no {variable}"
        else:
            assert re.search(rf"(?m)^{re.escape(word)}:", MAKEFILE), f"make has no target {word}"


@pytest.mark.parametrize("said", SAID, ids=lambda said: f"{said.path.name}: {said.text.strip()}")
def test_a_command_of_the_docs_exists(said: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    program, *words = shlex.split(re.sub(r"\d?> ?\S+", "", said.text), comments=True)
    match Path(program).name:
        case "settle":
            require_settle(words, is_complete=said.is_complete)
        case "make":
            require_make(words)
        case "python":
            assert words[0] == "-m"
            assert find_spec(words[1])
        case "pytest":
            assert all((ROOT / word).exists() for word in words if "/" in word)


def test_commands_are_found_in_every_kind_of_place() -> None:
    assert {said.path.name for said in SAID} >= {"README.md", "CONTRIBUTING.md", "architecture.md", "glossary.md"}
    assert len({said.text for said in SAID if said.is_complete}) > 15


def blocks_of_the_day() -> list[str]:
    """The commands of README's day, from `make up` to `make down`."""
    section = README.read_text().split("\n## Every day\n")[1].split("\n## ")[0]
    return [line for block in BLOCK.finditer(section) for line in lines_of(block)]


@pytest.mark.timeout(DAY_TIMEOUT_S + 60)
def test_a_day_of_the_readme_runs_as_it_stands(tmp_path: Path) -> None:
    (tmp_path / ".venv").symlink_to(sys.prefix)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SETTLE_", "TEMPORAL_"))}
    log = tmp_path / "day.log"
    with log.open("w") as output:
        shell = subprocess.Popen(
            ["bash", "-c", SHELL + "\n".join(blocks_of_the_day())],
            cwd=tmp_path,
            env=environment | {"MAKEFILE": str(ROOT / "Makefile")},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            exit_code = shell.wait(DAY_TIMEOUT_S)
        finally:
            if shell.poll() is None:
                os.killpg(shell.pid, signal.SIGKILL)
            subprocess.run([".venv/bin/settle", "stack", "down"], cwd=tmp_path, env=environment, check=True)
    said = log.read_text()
    assert exit_code == 0, said
    assert said.count("Balanced: ") == 4  # the run, its report, the reruns
    assert "my-second-batch is aborted: 1,000 planned" in said
    assert "clean: no breaks" in said
    assert "was rejected in batch my-first-batch: The customer disputes the order." in said
    assert "Order S1-000000110 was settled in batch" in said
    for process in ("worker", "relay", "intake"):
        assert f"{process} has stopped" in (tmp_path / f"{process}.log").read_text()
    assert "results delivered" in (tmp_path / "relay.log").read_text()
    assert not (tmp_path / ".settle/stack/stack.json").exists()


def test_the_day_shows_every_command() -> None:
    day = "\n".join(blocks_of_the_day()).replace("make up", "settle stack up").replace("make down", "settle stack down")
    not_shown = {"settle account close", "settle account reopen"}  # said to be for trying things out
    assert [name for name in command_names() if name not in not_shown and name not in day] == []


def command_names(group: TyperGroup | None = None, name: str = "settle") -> list[str]:
    """Every command by its full name."""
    commands = (group or get_command(build_app())).commands  # type: ignore[attr-defined]
    names = []
    for word, command in commands.items():
        full = f"{name} {word}"
        names += command_names(command, full) if isinstance(command, TyperGroup) else [full]
    return names


def test_every_command_of_the_other_docs_runs_here_or_in_ci(tmp_path: Path) -> None:
    """They run in a copy of the checkout, as they stand there, one after the other."""
    checkout = tmp_path / "checkout"
    shutil.copytree(ROOT, checkout, ignore=shutil.ignore_patterns(".*", "__pycache__"))
    (checkout / ".venv").symlink_to(sys.prefix)
    in_ci = set(re.findall(r"(?m)^run (make [\w-]+)", (ROOT / ".ci/run").read_text()))
    assert in_ci == {
        f"make {target}"
        for target in ("check", "test", "test-kafka", "demo", "incident", "test-simulator", "simulate", "chaos")
    }
    lines = [
        line.split("#")[0].strip()
        for path in DOCS
        if path != README
        for block in BLOCK.finditer(path.read_text())
        if block["language"] == "console"
        for line in lines_of(block)
    ]
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
                timeout=DAY_TIMEOUT_S,
                check=False,
            )
            assert ended.returncode == 0, f"{line}\n{ended.stdout}\n{ended.stderr}"


def test_every_console_block_of_the_readme_is_run() -> None:
    """The rest of them is what `.ci/run` runs."""
    day = blocks_of_the_day()
    others = [
        line
        for block in BLOCK.finditer(README.read_text())
        for line in lines_of(block)
        if block["language"] == "console"
    ]
    assert [line for line in others if line not in day] == ["make demo", "make test", "make incident"]


def test_the_readmes_figures_are_those_of_the_demos_sample(tmp_path: Path) -> None:
    expected = write_sample(tmp_path / "orders.csv", DEMO_ORDER_COUNT, SAMPLE_SEED, DEFAULT_BAD_RATE)
    settled, rejected = expected.settled, expected.rejected
    text = README.read_text()
    for currency in settled.amount_minor:
        for good, bad in (
            (settled.order_count_by_currency[currency], rejected.order_count_by_currency[currency]),
            (settled.amount_minor[currency], rejected.amount_minor[currency]),
        ):
            row = rf"│ {currency} +│ +{good + bad:,} │ +{good:,} │ +{bad:,} │ +{good:,} │"
            assert re.search(row, text), row
    for reason_code, item_count in expected.reasons.items():
        assert f"{item_count:>9,}  {reason_code}: {REASON_SENTENCES[ReasonCode(reason_code)]}\n" in text
