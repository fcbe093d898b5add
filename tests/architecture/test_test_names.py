"""Tests have names that can be found and read."""

import re
from collections import Counter
from pathlib import Path

TESTS = Path(__file__).parents[1]
LENGTH_MAX = 79
EVERYWHERE = {"__init__.py", "__main__.py", "conftest.py"}


def test_the_name_of_a_test_fits_a_line() -> None:
    names = [name for file in TESTS.rglob("test_*.py") for name in re.findall(r"def (test_\w+)\(", file.read_text())]
    assert names
    assert [name for name in names if len(name) > LENGTH_MAX] == []


def test_no_two_files_of_the_tests_have_one_name() -> None:
    counts = Counter(file.name for file in TESTS.rglob("*.py") if file.name not in EVERYWHERE)
    assert [name for name, count in counts.items() if count > 1] == []
