"""The commands of the docs exist, and those of the tutorial and the how-to guides run unchanged, in order.

`.ci/run` runs `make demo` and `make test` from a clean clone. Here only their targets are looked up.
"""

import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from bench.demo import SAMPLE_SEED
from schemas.wire.reasons import REASON_SENTENCES, ReasonCode
from starters.cli import build_app
from starters.sample import DEFAULT_BAD_RATE, write_sample
from tests.support.documented import (
    HOW_TO,
    README,
    ROOT,
    TUTORIAL,
    Said,
    commands_said,
    steps_of,
)

MAKEFILE = (ROOT / "Makefile").read_text()
DEMO_ORDER_COUNT = 100_000
RUN_BY_CI = ["make demo", "make test", "make incident"]
# Its commands are a developer's. They run in a checkout, without servers.
CHANGE_A_WORKFLOW = HOW_TO / "change-a-workflow.md"
PAGES = [path for path in sorted(HOW_TO.glob("*.md")) if path != CHANGE_A_WORKFLOW]
# They need what no test has: other providers' services or a Docker engine.
PAGES_NOT_RUN = {"managed-postgresql-and-kafka.md", "run-with-docker-compose.md", "temporal-cloud.md"}
RUN_PAGES = [path for path in PAGES if path.name not in PAGES_NOT_RUN]

SAID = [said for said in commands_said() if re.match(r"\s*(\S*/)?(settle|make|python -m|pytest)\b", said.text)]


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
        for file in (word for word in arguments if word.endswith(".csv") and not word.startswith("/")):
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
            assert find_spec(words[1])
        case "pytest":
            assert all((ROOT / word).exists() for word in words if "/" in word)


def test_commands_are_found_in_every_kind_of_place() -> None:
    assert {said.path.name for said in SAID} >= {"README.md", "CONTRIBUTING.md", "architecture.md", "glossary.md"}
    assert len({said.text for said in SAID if said.is_complete}) > 15


def console_lines_of(*paths: Path) -> list[str]:
    return [line for path in paths for step in steps_of(path) for line in step.lines]


def test_every_how_to_is_run_or_has_nothing_to_run() -> None:
    assert {path.name for path in PAGES if not steps_of(path)} == PAGES_NOT_RUN


def test_no_two_pages_use_one_batch_id() -> None:
    """They share a Temporal server."""
    named = [
        (batch_id, path.name)
        for path in RUN_PAGES
        for batch_id in {re.split(r"[ .]", each)[0] for each in re.findall(r"november-\d\d", path.read_text())}
    ]
    assert sorted(batch_id for batch_id, _ in named) == sorted({batch_id for batch_id, _ in named})


def test_the_tutorial_and_the_how_tos_show_every_command() -> None:
    shown = "\n".join(console_lines_of(TUTORIAL, *PAGES))
    shown = shown.replace("make up", "settle stack up").replace("make down", "settle stack down")
    not_shown = {"settle account close", "settle account reopen", "settle stack status"}  # for trying things out
    assert [name for name in command_names() if name not in not_shown and name not in shown] == []


def command_names(group: TyperGroup | None = None, name: str = "settle") -> list[str]:
    """Return the full name of every command."""
    commands = (group or get_command(build_app())).commands  # type: ignore[attr-defined]
    names = []
    for word, command in commands.items():
        full = f"{name} {word}"
        names += command_names(command, full) if isinstance(command, TyperGroup) else [full]
    return names


def test_every_console_block_of_the_readme_is_run() -> None:
    """Each is run by `.ci/run`, or is a line of the tutorial or of a how-to guide."""
    run = {line.split("#")[0].strip() for line in console_lines_of(TUTORIAL, *PAGES)} | set(RUN_BY_CI)
    lines = [line.split("#")[0].strip() for line in console_lines_of(README)]
    assert [line for line in lines if line not in run] == []
    assert set(RUN_BY_CI[:2]) <= set(lines)


def test_the_readmes_figures_are_those_of_the_demos_sample(tmp_path: Path) -> None:
    """Of the currencies and reasons that it shows; it leaves some out."""
    expected = write_sample(tmp_path / "orders.csv", DEMO_ORDER_COUNT, SAMPLE_SEED, DEFAULT_BAD_RATE)
    settled, rejected = expected.settled, expected.rejected
    rows = [[cell.strip() for cell in row.split("│")[1:-1]] for row in re.findall(r"(?m)^│.*│$", README.read_text())]
    counts = {
        currency: (settled.order_count_by_currency[currency], rejected.order_count_by_currency[currency])
        for currency in settled.order_count_by_currency
    } | {"all": (settled.order_count, rejected.order_count)}
    shown = [row for row in rows if row[0] in counts]
    assert len(shown) > 2
    for name, *cells in shown:
        good, bad = counts[name]
        assert cells == [f"{good + bad:,}", f"{good:,}", f"{bad:,}", f"{good:,}"]
    reasons = re.findall(r"(?m)^ +([\d,]+)  ([A-Z_]+): (.*)$", README.read_text())
    assert reasons
    for item_count, reason_code, sentence in reasons:
        assert (item_count, sentence) == (
            f"{expected.reasons[reason_code]:,}",
            REASON_SENTENCES[ReasonCode(reason_code)],
        )
