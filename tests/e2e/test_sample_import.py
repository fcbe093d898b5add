"""`settle import` of a sample, as a user runs it: what is said, where, and the exit code."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from database.pools import Pool
from domain.control_totals import sum_totals
from schemas.batches import ControlTotals
from tests.databases import DatabaseUrls

ORDER_COUNT = 12_000


@pytest.fixture
def environment(databases: DatabaseUrls) -> dict[str, str]:
    return os.environ | {
        "SETTLE_DATABASE_URL": databases.settlement_store,
        "SETTLE_ORDER_CENTER_URL": databases.order_center,
        "SETTLE_FUND_PLATFORM_URL": databases.fund_platform,
    }


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    completed = settle("sample", "orders.csv", "--orders", str(ORDER_COUNT), "--seed", "1", directory=tmp_path)
    assert completed.returncode == 0, completed.stderr
    return tmp_path / "orders.csv"


def settle(
    *arguments: str, directory: Path, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("settle")), *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, cwd=directory, env=environment
    )


def assert_one_sentence(completed: subprocess.CompletedProcess[str], exit_code: int, *parts: str) -> None:
    assert completed.returncode == exit_code, completed.stderr
    assert completed.stdout == ""
    assert len(completed.stderr.strip().splitlines()) == 1
    for part in parts:
        assert part in completed.stderr


async def counts_of(pools: dict[str, Pool]) -> list[Any]:
    order_center, fund_platform = pools["order_center"], pools["fund_platform"]
    return [
        await order_center.fetchval("SELECT count(*) FROM orders"),
        await order_center.fetchval("SELECT count(*) FROM unacknowledged_orders"),
        await order_center.fetchval("SELECT max(version) FROM orders"),
        await fund_platform.fetchval("SELECT count(*) FROM accounts"),
    ]


async def test_a_sample_is_imported_once_however_often_it_is_imported(
    sample: Path, environment: dict[str, str], pools: dict[str, Pool]
) -> None:
    said = settle("import", sample.name, directory=sample.parent, environment=environment)
    assert said.returncode == 0, said.stderr
    assert said.stdout == "Imported 12,000 orders from orders.csv.\n"
    first = await counts_of(pools)
    assert first[:2] == [ORDER_COUNT, ORDER_COUNT]

    printed = settle("import", sample.name, "--json", directory=sample.parent, environment=environment)
    assert (printed.returncode, printed.stderr) == (0, "")
    result = json.loads(printed.stdout)
    expected = json.loads(sample.with_suffix(".expected.json").read_text())
    totals = sum_totals(ControlTotals.model_validate(expected[outcome]) for outcome in ("settled", "rejected"))
    assert result == {"file": "orders.csv", "orders": ORDER_COUNT, "announced": totals.model_dump()}
    assert await counts_of(pools) == first


def test_a_bad_row_ends_with_1_and_says_where(sample: Path, environment: dict[str, str]) -> None:
    lines = sample.read_text().splitlines(keepends=True)
    lines[7_000] = lines[7_000].replace("-0000", "-0000\x00", 1)
    sample.write_text("".join(lines))
    completed = settle("import", sample.name, directory=sample.parent, environment=environment)
    assert_one_sentence(completed, 1, "orders.csv, line 7001: order_id", "5,000 orders before it are imported")


@pytest.mark.parametrize(
    ("content", "says"), [("order_id,account_id\n", "lacks the column paid_minor"), ("", "lacks the column order_id")]
)
def test_a_file_that_is_no_order_file_ends_with_2(
    tmp_path: Path, environment: dict[str, str], content: str, says: str
) -> None:
    (tmp_path / "orders.csv").write_text(content)
    completed = settle("import", "orders.csv", directory=tmp_path, environment=environment)
    assert_one_sentence(completed, 2, "orders.csv is no order file", says)


def test_a_file_that_is_not_there_ends_with_2(tmp_path: Path) -> None:
    completed = settle("import", "orders.csv", directory=tmp_path)
    assert completed.returncode == 2
    assert "'orders.csv' does not exist" in completed.stderr


def test_a_database_that_cannot_be_reached_ends_with_3_and_shows_no_password(sample: Path) -> None:
    environment = os.environ | {"SETTLE_DATABASE_URL": "postgresql://settle:s3cr3t@127.0.0.1:1/settle"}
    completed = settle("import", sample.name, directory=sample.parent, environment=environment)
    assert completed.returncode == 3
    assert completed.stdout == ""
    assert "127.0.0.1" in completed.stderr
    assert "Traceback" not in completed.stderr
    assert "s3cr3t" not in completed.stderr
