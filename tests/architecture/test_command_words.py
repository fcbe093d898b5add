"""Only starters write commands into sentences, because only they know how their users call Settle."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from starters.cli import COMMANDS
from tests.architecture.test_docs_links import ROOT

ROOMS_BELOW = (
    "schemas",
    "domain",
    "database",
    "order_center",
    "fund_platform",
    "settlement_store",
    "settling",
    "messaging",
    "activities",
    "workflows",
    "runtime",
    "workers",
)
COMMAND = re.compile(rf"\bsettle (?:{'|'.join(COMMANDS)})\b")
NAME_OF_A_LOCK = "settle migrate "  # the same in every version, so that two versions do not migrate concurrently


def sentences_of(path: Path) -> Iterator[str]:
    """Return the strings of a module that are not docstrings."""
    module = ast.parse(path.read_text())
    docstrings = {
        id(node.value)
        for node in ast.walk(module)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(module):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


@pytest.mark.parametrize("room", ROOMS_BELOW)
def test_no_room_below_starters_writes_a_command_into_a_sentence(room: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}: {sentence}"
        for path in sorted((ROOT / room).rglob("*.py"))
        for sentence in sentences_of(path)
        if COMMAND.search(sentence) and sentence != NAME_OF_A_LOCK
    ]
    assert found == []
