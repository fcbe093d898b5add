"""The commands of the docs: finding them, and running the console blocks of a page in order.

The tests read the Markdown of a page by these rules:

- A `console` block has commands with a `$ ` prompt and is run. A `sh` block is not run, because it needs servers that
  no test has.
- The `text` blocks up to the next console block show lines of its output. In a line `…` replaces any text.
- A comment `# exit code N` gives the exit code of a command that fails.
- `<!-- setup: FUNCTION ARGUMENTS -->` calls a function of `documented.sh` where the page begins with a state that no
  command makes, such as a lost ledger. The page says so in a sentence that begins with "Suppose that".
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from runtime.stack_state import StackState

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
TUTORIAL = ROOT / "docs/tutorial.md"
HOW_TO = ROOT / "docs/how-to"
DOCS = [README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
COLUMNS = 100  # the width of the terminal whose output the pages show
TIMEOUT_S = 900  # only to detect a hang

BLOCK = re.compile(r"^ *```(?P<language>\w*)\n(?P<text>.*?)^ *```$", re.DOTALL | re.MULTILINE)
_COMMAND = re.compile(r"^ *\$ (.*(?:\n *>.*)*)", re.MULTILINE)
_SIMPLE_COMMAND = re.compile(r"""(?:'[^']*'|"[^"]*"|[^;&|'"])+""")
_CODE = re.compile(r"`([^`\n]+)`")
_SETUP_OR_BLOCK = re.compile(rf"<!-- setup: (?P<setup>.+?) -->|{BLOCK.pattern}", re.DOTALL | re.MULTILINE)
_IN_A_CONTAINER = re.compile(r"^docker compose exec \w+ ")
_ENVIRONMENT = re.compile(r"^\s*([A-Z_]+=\S+ )+")
_EXIT_CODE = re.compile(r"# exit code (\d+)")
_BOX = re.compile(r"[\u2500-\u257f]+")
_COUNT = re.compile(r"[\d,]+")

SHELL = Path(__file__).with_name("documented.sh").read_text()


class Said(NamedTuple):
    """A command in a document. In a code block it is complete. Elsewhere it may have BLANKS in it."""

    path: Path
    text: str
    is_complete: bool


class Step(NamedTuple):
    """A console block: the setup before it, its commands, and the output lines that the page shows after it."""

    setup: str
    lines: list[str]
    shown: list[str]


def lines_of(block: re.Match[str]) -> list[str]:
    """Return the commands of a block: in a console the text after a prompt, `$ ` or `> `; in a script each line."""
    text = block["text"].replace("\\\n", " ")
    if block["language"] == "console":
        return [re.sub(r"(?m)^ *> ?", "", command) for command in _COMMAND.findall(text)]
    return [line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#")]


def commands_said() -> Iterator[Said]:
    """Yield every command in the documents, in code blocks or in code font."""
    for path in DOCS:
        text = path.read_text()
        for block in BLOCK.finditer(text):
            if block["language"] in ("console", "bash", "sh"):
                for line in lines_of(block):
                    for part in _SIMPLE_COMMAND.findall(line):
                        yield Said(path, _ENVIRONMENT.sub("", _IN_A_CONTAINER.sub("", part)), is_complete=True)
        for code in _CODE.findall(BLOCK.sub("", text)):
            if re.match(r"(\S*/)?(settle|make|python) ", code):
                yield Said(path, code, is_complete=False)


def steps_of(path: Path) -> list[Step]:
    """Return the console blocks of a page, in order."""
    steps: list[Step] = []
    setup = ""
    for found in _SETUP_OR_BLOCK.finditer(path.read_text()):
        if found["setup"]:
            setup += f"setup_{found['setup']} > /dev/null\n"
        elif found["language"] == "console":
            steps.append(Step(setup, lines_of(found), []))
            setup = ""
        elif found["language"] == "text" and steps:
            steps[-1].shown.extend(line.strip() for line in found["text"].splitlines())
    return steps


def run_page(path: Path, directory: Path, environment: Mapping[str, str]) -> list[str]:
    """Run a page's console blocks in one shell and return the output of each. Fail at the first command that fails."""
    log = directory / f"{path.stem}.log"
    script = [SHELL]
    for number, step in enumerate(steps_of(path)):
        script += [step.setup, f"printf '\n@@ {number}\n'", *map(_runnable, step.lines)]
    with log.open("w") as output:
        shell = subprocess.Popen(
            ["bash", "-c", "\n".join(script)],
            cwd=directory,
            env={**environment, "MAKEFILE": str(ROOT / "Makefile")},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            exit_code = shell.wait(TIMEOUT_S)
        finally:
            if shell.poll() is None:
                os.killpg(shell.pid, signal.SIGKILL)
    said = log.read_text()
    assert exit_code == 0, said
    for name, default in (("SETTLE_TOPIC_PREFIX", ""), ("SETTLE_TASK_QUEUE", "settle")):
        said = said.replace(environment.get(name) or "\0", default)
    return re.split(r"(?m)^@@ \d+\n", said)[1:]


def _runnable(line: str) -> str:
    exit_code = _EXIT_CODE.search(line)
    return f"exits {exit_code[1]} {line}" if exit_code else line


def missing_lines(shown: list[str], output: str) -> list[str]:
    """Return the shown lines that the output lacks. Counts must be equal. Times, ids and addresses may differ."""
    there = {_comparable(line) for line in output.splitlines()}
    return [
        line
        for line in shown
        if (wanted := _comparable(line)).strip("… ")
        and wanted not in there
        and not ("…" in wanted and any(_pattern_of(wanted).fullmatch(each) for each in there))
    ]


def _pattern_of(line: str) -> re.Pattern[str]:
    return re.compile(" ?.* ?".join(map(re.escape, map(str.strip, line.split("…")))))


def _comparable(line: str) -> str:
    words = _BOX.sub(" ", line).split()
    return " ".join(word if _COUNT.fullmatch(word) else re.sub(r"\S*\d\S*", "#", word) for word in words)


def world_environment(stack: StackState, stack_dir: Path, database_url: str, name: str) -> dict[str, str]:
    """Return the environment of a page on the run's servers, with its own database, task queue and topics."""
    return {
        "LOGNAME": "ann",
        "SETTLE_STACK_DIR": str(stack_dir),
        "SETTLE_DATABASE_URL": database_url,
        "TEMPORAL_ADDRESS": stack.temporal_address,
        "KAFKA_BOOTSTRAP_SERVERS": stack.kafka_bootstrap_servers,
        "SETTLE_TASK_QUEUE": name,
        "SETTLE_TOPIC_PREFIX": f"{name}.",
    }


def environment_without_settings() -> dict[str, str]:
    """Return the test run's environment, with `settle` on its PATH but without settings of Settle and its servers."""
    prefixes = ("SETTLE_", "TEMPORAL_", "KAFKA_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}
    return {**kept, "COLUMNS": str(COLUMNS), "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"}
