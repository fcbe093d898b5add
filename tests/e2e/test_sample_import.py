"""`settle import` of a sample has the documented output and exit code."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from database.pools import Pool
from domain.control_totals import sum_totals
from schemas.wire.totals import ControlTotals
from tests.support.databases import DatabaseUrls

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
        command, capture_output=True, text=True, timeout=180, check=False, cwd=directory, env=environment
    )


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
    assert result == {
        "file": "orders.csv",
        "orders": ORDER_COUNT,
        "announced": totals.model_dump(),
        "published": 0,
        "bad_rows": 0,
        "rejected_file": None,
    }
    assert await counts_of(pools) == first


def test_a_database_that_cannot_be_reached_ends_with_3_and_shows_no_password(sample: Path) -> None:
    environment = os.environ | {"SETTLE_DATABASE_URL": "postgresql://settle:s3cr3t@127.0.0.1:1/settle"}
    completed = settle("import", sample.name, directory=sample.parent, environment=environment)
    assert completed.returncode == 3
    assert completed.stdout == ""
    assert "127.0.0.1" in completed.stderr
    assert "Traceback" not in completed.stderr
    assert "s3cr3t" not in completed.stderr
