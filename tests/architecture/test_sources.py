"""The rules of the code base that ruff, mypy and import-linter cannot check."""

import ast
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
PACKAGES = TOOLS["importlinter"]["root_packages"]
ADAPTER_PACKAGES = ["order_center", "fund_platform", "settlement_store"]
# The modules that manage PostgreSQL itself: schemas and advisory locks, databases and their users.
PACKAGES_WITHOUT_SQL = sorted(set(PACKAGES) - {"database", "local_stack"})
LINE_COUNT_MAX = 400
LOCK_FILES = ["requirements.lock", "requirements-runtime.lock"]

# Words from the glossary's last column that are always wrong in a name here.
BANNED_WORDS = {"job", "jobs", "shard", "shards", "checksum", "checksums"}
CLOCKS = {"now", "utcnow", "today"}
IO_MODULES = {"asyncio", "os", "pathlib", "secrets", "socket", "subprocess", "time", "uuid"}
SQL = re.compile(r"\b(SELECT|INSERT INTO|UPDATE|DELETE FROM|FROM|WHERE|CREATE|ALTER|DROP|TRUNCATE)\b")
SENTENCE = re.compile(r"-- [A-Z].*\.")


def sources_of(*packages: str, suffix: str = "py") -> list[Path]:
    return sorted(path for package in packages for path in (ROOT / package).rglob(f"*.{suffix}"))


def strings_of(tree: ast.Module) -> Iterator[ast.Constant]:
    """Return the strings of a module that are not docstrings."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node


def names_of(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name) | ast.keyword(arg=str(name)):
                yield name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name


def imports_of(tree: ast.Module) -> set[str]:
    """Return the top-level packages that a module imports."""
    modules: list[str] = []
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=aliases):
                modules += [alias.name for alias in aliases]
            case ast.ImportFrom(module=str(module)):
                modules.append(module)
    return {module.split(".")[0] for module in modules}


def offenders(paths: list[Path], finding_of: Callable[[Path], object]) -> dict[str, object]:
    """Return the findings by file, without the files that have none."""
    assert paths
    return {str(path.relative_to(ROOT)): finding for path in paths if (finding := finding_of(path))}


def test_every_room_has_its_layer_and_is_shipped() -> None:
    """For rooms, this replaces import-linter's `exhaustive`, which exists only within one package."""
    layers = [layer for each in TOOLS["importlinter"]["contracts"][:1] for layer in each["layers"]]
    rooms = {room for layer in layers for room in layer.split(" | ")}
    assert rooms | {"local_stack"} == set(PACKAGES)
    assert set(TOOLS["hatch"]["build"]["targets"]["wheel"]["only-include"]) == set(PACKAGES)
    shipped = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert shipped - {"bench", "tests", "tools"} == set(PACKAGES)


def test_a_file_holds_one_thing() -> None:
    def too_long(path: Path) -> int:
        line_count = len(path.read_text().splitlines())
        return line_count if line_count > LINE_COUNT_MAX else 0

    assert offenders(sources_of(*PACKAGES) + sources_of(*PACKAGES, suffix="sql"), too_long) == {}


def test_a_statement_says_in_its_first_line_what_it_does() -> None:
    def unsaid(path: Path) -> str:
        first_line = path.read_text().splitlines()[0]
        return "" if SENTENCE.fullmatch(first_line) else first_line

    assert offenders(sources_of(*PACKAGES, suffix="sql"), unsaid) == {}


@pytest.mark.parametrize("package", ADAPTER_PACKAGES)
def test_every_statement_is_used(package: str) -> None:
    used = {str(node.value) for path in sources_of(package) for node in strings_of(ast.parse(path.read_text()))}
    used |= {prefix + rest for prefix in used if prefix.endswith("_") for rest in used}  # f"break_{kind}"
    statements = {path.stem for path in (ROOT / package / "postgres" / "sql").glob("*.sql")}
    assert statements
    assert statements - used == set()


def test_no_statement_hides_in_a_python_string() -> None:
    def hidden(path: Path) -> list[object]:
        return [node.value for node in strings_of(ast.parse(path.read_text())) if SQL.search(str(node.value))]

    assert offenders(sources_of(*PACKAGES_WITHOUT_SQL), hidden) == {}


def test_names_keep_to_the_glossary() -> None:
    def banned(path: Path) -> set[str]:
        words = (re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name) for name in names_of(ast.parse(path.read_text())))
        return {word.lower() for found in words for word in found} & BANNED_WORDS

    assert offenders(sources_of(*PACKAGES), banned) == {}


def test_the_domain_has_no_clock_and_no_input_or_output() -> None:
    def impure(path: Path) -> set[str]:
        tree = ast.parse(path.read_text())
        return (imports_of(tree) & IO_MODULES) | (set(names_of(tree)) & CLOCKS)

    assert offenders(sources_of("domain"), impure) == {}


def test_no_room_starts_a_python_interpreter() -> None:
    """A child process would not find the rooms of an installation (`starters/launcher.py`)."""

    def starting(path: Path) -> set[str]:
        tree = ast.parse(path.read_text())
        return (imports_of(tree) & {"multiprocessing"}) | (set(names_of(tree)) & {"executable", "ProcessPoolExecutor"})

    assert offenders(sources_of(*PACKAGES), starting) == {}


def test_workflow_code_neither_waits_nor_asks_outside_of_temporal() -> None:
    """In workflows `asyncio` is allowed, because the SDK makes its timers and locks deterministic."""

    def outside(path: Path) -> set[str]:
        return imports_of(ast.parse(path.read_text())) & ((IO_MODULES | {"random"}) - {"asyncio"})

    assert offenders(sources_of("workflows"), outside) == {}


def test_the_domain_draws_from_no_random_generator_but_one_that_is_handed_in() -> None:
    def drawn(path: Path) -> list[str]:
        return re.findall(r"random\.(?!Random\b)\w+|random\.Random\(|from random import", path.read_text())

    assert offenders(sources_of("domain"), drawn) == {}


def requirements_of(lock_file: str) -> set[str]:
    """Return each requirement with its version and hashes, without its dependents and its environment markers."""
    text = re.sub(r"(?m)^ +#.*\n| ; [^\\\n]+(?=\\)", "", (ROOT / lock_file).read_text())
    text = re.sub(r"(==\S+)\s*\\", r"\1 \\", text)
    return {requirement.strip() for requirement in re.split(r"(?m)^(?=[A-Za-z0-9])", text)[1:]}


@pytest.mark.parametrize("lock_file", LOCK_FILES)
def test_a_lock_file_names_no_index_and_has_a_hash_for_every_requirement(lock_file: str) -> None:
    text = (ROOT / lock_file).read_text()
    assert "://" not in text
    assert not re.search(r"(?m)^\s*(-i|-f|--(extra-)?index-url|--find-links|--trusted-host)\b", text)
    requirements = requirements_of(lock_file)
    assert len(requirements) > 20
    assert [requirement for requirement in requirements if "--hash=sha256:" not in requirement] == []


def test_the_image_has_the_versions_that_the_tests_run() -> None:
    whole, runtime = map(requirements_of, LOCK_FILES)
    assert runtime < whole
