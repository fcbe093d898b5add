"""`make check` reads README and docs with proselint, by its own checks and by the style of CONTRIBUTING.

python -m tools.prose [FILE.md ...]
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from proselint.checks import __register__ as proselint_checks
from proselint.config import DEFAULT
from proselint.registry import CheckRegistry
from proselint.registry.checks import Check, CheckResult, types
from proselint.registry.checks.engine import Fancy, RegexOptions
from proselint.tools import LintFile

ROOT = Path(__file__).parents[1]
SENTENCE_WORD_COUNT_MAX = 40

# Code, comments, targets of links and rows of tables are no prose.
_NOT_PROSE = re.compile(r"^ *```.*?^ *```$|<!--.*?-->|`[^`\n]+`|\]\([^)\s]*\)|^\|.*?$", re.DOTALL | re.MULTILINE)
_HEADING = re.compile(r"^(#+ .*)$", re.MULTILINE)
# A paragraph, a heading or an item of a list, and a sentence in it.
_BLOCK = re.compile(r"(?:(?!\n\s*(?:\n|[-#>]|\d+\.)).)+", re.DOTALL)
_SENTENCE = re.compile(r"[A-Z].*?[.?!:](?=\s|$)", re.DOTALL)


def _long_sentences(text: str, check: Check) -> Iterator[CheckResult]:
    for block in _BLOCK.finditer(text):
        for sentence in _SENTENCE.finditer(text, block.start(), block.end()):
            word_count = len(sentence[0].split())
            if word_count > SENTENCE_WORD_COUNT_MAX:
                yield CheckResult(check.path, check.message.format(word_count), sentence.span(), None)


def _term(name: str, message: str, *terms: str) -> Check:
    return Check(types.Existence(items=terms), path=f"settle.{name}", message=message)


STYLE = (
    Check(
        types.ExistenceSimple(r"(?:^|[.:] )(?:Who|Whoever|What(?! came since)|That which)\b[^.?!]*\."),
        engine=Fancy(RegexOptions(case_insensitive=False, multi_line=True)),
        path="settle.headless",
        message="Name the thing instead of building the sentence on a bare who or what: '{}'",
    ),
    Check(
        _long_sentences, path="settle.long", message=f"{{}} words; over {SENTENCE_WORD_COUNT_MAX} are two sentences."
    ),
    _term("persons", "A program does not tell and is not told: '{}'", "tells", r"(?:is|are|was|were|be|been) told"),
    _term(
        "terms",
        "Use the term of the field: '{}'",
        *("for ever", "as it stands", "comes to nothing", "on the spot", "holds up", "stands still", "of itself"),
        *("house accounts?", "transaction records?", "checksums? of a batch"),
    ),
    Check(types.ExistenceSimple(r"\bat once\b"), path="settle.at_once", message="Immediately, or concurrently?"),
    Check(
        types.ExistenceSimple(r"\bso that\b"),
        path="settle.so_that",
        message="A purpose is 'to'; a result is a sentence.",
    ),
)
# Straight quotes are what code uses; the rest takes terms of this field for faults.
_LEFT_OUT = {"typography.symbols": False, "typography.diacritical_marks": False, "misc.but": False}


class Finding(NamedTuple):
    """A place that a reader would stumble at."""

    line_no: int
    message: str


def main() -> None:
    """Print what is found, and exit with 1 if anything is."""
    CheckRegistry().register_many((*proselint_checks, *STYLE))
    files = [Path(name) for name in sys.argv[1:]] or [*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md"))]
    found = [(file, finding) for file in files for finding in read(file.read_text())]
    for file, (line_no, message) in found:
        sys.stdout.write(f"{file}:{line_no}: {message}\n")
    sys.exit(1 if found else 0)


def read(text: str) -> list[Finding]:
    """Return what the checks find in a document's prose."""
    prose = _NOT_PROSE.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
    prose = _HEADING.sub(r"\1.", prose)  # else a heading runs into the sentence below it
    checks = {**_LEFT_OUT, **DEFAULT["checks"], "settle": True}
    results = LintFile("text", prose).lint({"max_errors": DEFAULT["max_errors"], "checks": checks})
    return [Finding(result.pos[0], " ".join(result.check_result.message.split())) for result in results]


if __name__ == "__main__":
    main()
