"""Without Java, the tests of Apache Kafka are skipped with a reason. In CI they fail."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 180
REASON = "Apache Kafka needs Java 17 and Maven, but there is no `java` on the PATH"


@pytest.mark.parametrize(
    ("variables", "exit_code", "verdict"), [({}, 0, "SKIPPED"), ({"REQUIRE_ALL_TOOLS": "1"}, 1, "ERROR")]
)
def test_where_java_is_missing_a_test_says_so(
    variables: dict[str, str], exit_code: int, verdict: str, tmp_path: Path
) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "REQUIRE_ALL_TOOLS"}
    options = f"-p no:cacheprovider --basetemp {tmp_path}/base -k static_member"
    finished = subprocess.run(
        [sys.executable, "-m", "pytest", *options.split(), "tests/kafka"],
        cwd=ROOT,
        env=environment | variables | {"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert finished.returncode == exit_code, finished.stdout
    assert any(line.startswith(verdict) for line in finished.stdout.splitlines())
    assert REASON in finished.stdout
