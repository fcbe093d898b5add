"""The docs name only things that exist, and all of them: links, files, tests, codes, states, settings, commands."""

import ast
import re
import tomllib
from pathlib import Path

import pytest
from temporalio.envconfig import ClientConfigProfile

from domain import limits
from runtime.settings import Settings
from schemas.chunks import ChunkState
from schemas.ledger import CreditResultCode
from schemas.wire.batches import BatchState
from schemas.wire.reasons import Outcome, ReasonCode
from settlement_store.postgres.audit import BREAK_KINDS
from tests.integration.audit_corruptions import CORRUPTIONS
from tests.unit.test_order_rules import DOCUMENTED_ORDER

ROOT = Path(__file__).parents[2]
GLOSSARY = ROOT / "docs/glossary.md"
CODES = ROOT / "docs/reference/codes.md"
SETTINGS = ROOT / "docs/reference/settings.md"
ARCHITECTURE = ROOT / "docs/explanation/architecture.md"
TIMEOUTS = ROOT / "docs/explanation/timeouts.md"
DECISIONS = ROOT / "docs/explanation/decisions"
DECISION_HEADINGS = ["Context", "Decision", "Consequences", "What would change our mind"]
LEDGER_BREAKS = ROOT / "fund_platform/postgres/sql/fetch_ledger_breaks.sql"
READ_THE_AUDIT = ROOT / "docs/how-to/read-the-audit.md"
DOCS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
BLOCK = re.compile(r"^ *```.*?^ *```$", re.DOTALL | re.MULTILINE)
FILE = re.compile(r"[\w.-]+(/[\w.-]+)*/?")
FILE_SUFFIXES = (".py", ".sql", ".md", ".toml", ".lock", "/")
FOLDERS_MADE_LATER = {".venv/", ".settle/", "dist/"}
# Variables of Temporal's own documentation. Each is set to a value that must then be in the profile.
TEMPORAL_VARIABLES = {
    "TEMPORAL_ADDRESS": "host.example:7233",
    "TEMPORAL_NAMESPACE": "finance",
    "TEMPORAL_API_KEY": "key",
    "TEMPORAL_TLS": "true",
    "TEMPORAL_TLS_SERVER_NAME": "server.example",
    "TEMPORAL_TLS_SERVER_CA_CERT_PATH": "ca.pem",
    "TEMPORAL_TLS_CLIENT_CERT_PATH": "client.pem",
    "TEMPORAL_TLS_CLIENT_KEY_PATH": "client.key",
}
# These choose the file and its profile.
TEMPORAL_FILE_VARIABLES = {"TEMPORAL_PROFILE", "TEMPORAL_CONFIG_FILE"}
VARIABLES = {
    name.upper() if name.startswith("kafka_") else f"SETTLE_{name.upper()}": field
    for name, field in Settings.model_fields.items()
}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def code_of(path: Path) -> list[str]:
    """Return the words of a document in code font, without its code blocks."""
    return CODE.findall(BLOCK.sub("", path.read_text()))


def anchors_of(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", BLOCK.sub("", path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def rows_of(path: Path, heading: str) -> list[list[str]]:
    """Return the cells of the first table below a heading, without the table's header."""
    section = path.read_text().split(f"# {heading}\n", 1)[1]
    lines = re.findall(r"(?:^\|.*\n)+", section, re.MULTILINE)[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def sections_of(path: Path, heading: str) -> str:
    """Return the text below a heading, up to the next heading."""
    return path.read_text().split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]


@pytest.mark.parametrize("path", DOCS, ids=name_of)
def test_every_link_leads_somewhere(path: Path) -> None:
    broken = []
    for link in LINK.findall(path.read_text()):
        if re.match(r"[a-z]+:", link):
            assert link.startswith("https://"), link
            continue
        target, _, anchor = link.partition("#")
        found = path.parent / target if target else path
        if not found.exists() or (anchor and anchor not in anchors_of(found)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("path", DOCS, ids=name_of)
def test_every_file_that_is_named_exists(path: Path) -> None:
    named = {text for text in code_of(path) if FILE.fullmatch(text) and text.endswith(FILE_SUFFIXES) and "/" in text}
    named -= FOLDERS_MADE_LATER
    # A room's own folder may be named without its room: `unit/`, `migrations/`.
    folders = {f"{folder.name}/" for folder in ROOT.glob("*/*/") if folder.is_dir()}
    assert [text for text in sorted(named) if not (ROOT / text).exists() and text not in folders] == []


def test_every_decision_is_in_the_index_in_its_order() -> None:
    index = DECISIONS / "index.md"
    pages = sorted(path.name for path in DECISIONS.glob("[0-9]*.md"))
    listed = re.findall(r"^- \[(\d{4}) [^\]]+\]\(([^)]+)\): ", sections_of(index, "Decisions that stand"), re.MULTILINE)
    assert [page for _, page in listed] == pages
    assert [number for number, _ in listed] == [page[:4] for page in pages]
    gone = re.findall(r"^- (\d{4}) ", sections_of(index, "Numbers that went"), re.MULTILINE)
    numbers = [number for number, _ in listed] + gone
    assert sorted(numbers) == [f"{number:04d}" for number in range(1, len(numbers) + 1)]


@pytest.mark.parametrize("path", sorted(DECISIONS.glob("[0-9]*.md")), ids=name_of)
def test_every_decision_has_the_same_sections(path: Path) -> None:
    text = path.read_text()
    assert text.startswith(f"# {path.name[:4]} ")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == DECISION_HEADINGS


def test_every_decision_that_is_cited_exists() -> None:
    pages = {path.name[:4] for path in DECISIONS.glob("[0-9]*.md")}
    rooms = [*PYPROJECT["tool"]["importlinter"]["root_packages"], "bench", "tests"]
    cited = {
        number: name_of(path)
        for room in rooms
        for suffix in ("py", "sql")
        for path in (ROOT / room).rglob(f"*.{suffix}")
        for number in re.findall(r"[Dd]ecision (\d{4})", path.read_text())
    }
    assert {number: file for number, file in cited.items() if number not in pages} == {}
    assert cited


def test_every_rule_names_tests_that_have_tests_in_them() -> None:
    rows = rows_of(ARCHITECTURE, "The rules, and what holds each")
    assert [row[0] for row in rows] == [str(number) for number in range(1, len(rows) + 1)]
    for number, _, held_by, tests in rows:
        paths = CODE.findall(tests)
        assert paths or held_by == "not built yet", number
        for path in paths:
            tree = ast.parse((ROOT / path).read_text())
            functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
            assert any(function.name.startswith("test_") for function in functions), path


def test_the_rooms_are_those_that_import_linter_holds() -> None:
    linter = PYPROJECT["tool"]["importlinter"]
    [contract] = [each for each in linter["contracts"] if each["name"] == "Higher rooms import lower ones only"]
    assert "\n".join(["```text", *contract["layers"], "```"]) in ARCHITECTURE.read_text()
    rooms = {row[0].strip("`/") for row in rows_of(ARCHITECTURE, "Rooms")}
    assert rooms == {*linter["root_packages"], "bench", "tests", "tools"}


def test_every_kind_of_test_is_described() -> None:
    folders = {row[0].strip("`") for row in rows_of(ROOT / "CONTRIBUTING.md", "Tests")}
    markers = {marker.split(":")[0] for marker in PYPROJECT["tool"]["pytest"]["ini_options"]["markers"]}
    assert folders == {f"tests/{marker}/" for marker in markers}


def test_the_rules_are_in_the_glossary_in_their_order() -> None:
    told = re.findall(r"^(\d+)\. `(\w+)`", sections_of(GLOSSARY, "The order of the rules"), re.MULTILINE)
    in_turn = [ReasonCode.ORDER_UNKNOWN, *DOCUMENTED_ORDER]
    assert told == [(str(number), reason_code) for number, reason_code in enumerate(in_turn, 1)]
    given_by = {row[0].strip("`"): row[3] for row in rows_of(CODES, "Reason codes")}
    assert [given_by[reason_code] for reason_code in in_turn] == [f"rule {number}" for number, _ in told]


def test_the_limits_of_an_order_are_in_the_glossary() -> None:
    rows = rows_of(GLOSSARY, "The order of the rules")
    assert {currency: int(limit.replace(",", "")) for currency, limit in rows} == dict(limits.ORDER_AMOUNT_MINOR_MAX)


def test_every_kind_of_break_is_explained() -> None:
    text = READ_THE_AUDIT.read_text()
    told = [kind for row in re.findall(r"(?m)^\| ([^|]+) \|", text) for kind in CODE.findall(row)]
    planted = {kind for _, _, breaks in CORRUPTIONS.values() for kind, _ in breaks}
    in_ledger = set(re.findall(r"\(SELECT '(\w+)'", LEDGER_BREAKS.read_text()))
    assert len(in_ledger) > 5
    assert sorted(told) == sorted(planted | in_ledger | {*BREAK_KINDS, "more_breaks"})


@pytest.mark.parametrize(
    ("heading", "values"),
    [
        ("Outcomes", Outcome),
        ("The Fund Platform's answers", CreditResultCode),
        ("States of a batch", BatchState),
        ("States of a chunk", ChunkState),
    ],
)
def test_every_value_is_in_the_glossary_in_its_order(heading: str, values: type[Outcome]) -> None:
    assert [row[0].strip("`") for row in rows_of(GLOSSARY, heading)] == list(values)


@pytest.mark.parametrize("path", DOCS, ids=name_of)
def test_no_variable_is_documented_that_does_not_exist(path: Path) -> None:
    known = set(VARIABLES) | set(TEMPORAL_VARIABLES) | TEMPORAL_FILE_VARIABLES | set(vars(limits))
    assert set(re.findall(r"(?<![<\w])(?:SETTLE|TEMPORAL|KAFKA)_[A-Z_]*[A-Z]\b", path.read_text())) <= known


def test_temporals_own_variables_are_read(tmp_path: Path) -> None:
    documented = set(re.findall(r"`(TEMPORAL_[A-Z_]+)`", SETTINGS.read_text()))
    assert documented == set(TEMPORAL_VARIABLES) | TEMPORAL_FILE_VARIABLES
    file = tmp_path / "temporal.toml"
    file.write_text('[profile.other]\naddress = "other.example:7233"\n')
    for name, value in TEMPORAL_VARIABLES.items():
        found = ClientConfigProfile.load(disable_file=True, override_env_vars={name: value})
        assert found != ClientConfigProfile(), name
        assert value in str(found) or name == "TEMPORAL_TLS", name
    chosen = {"TEMPORAL_CONFIG_FILE": str(file), "TEMPORAL_PROFILE": "other"}
    assert ClientConfigProfile.load(override_env_vars=chosen).address == "other.example:7233"


def test_the_timeouts_are_those_of_the_code() -> None:
    rows = rows_of(TIMEOUTS, "The bounds")
    told = {row[0].strip("`"): float(row[1].removesuffix(" s").replace(",", "")) for row in rows}
    assert len(told) > 10
    assert told == {name: float(getattr(limits, name)) for name in told}
