"""The practical bound: one set-based statement that writes the same final rows as a run of Settle."""

import time
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from psycopg.rows import scalar_row

from domain import limits

_SQL = Path(__file__).with_suffix(".sql")
# The rows that do not depend on how the orders are divided into batches and chunks. Acknowledgements are left out: a
# worker that is killed after it validated a chunk leaves the acknowledgements of its orders to the next run.
TABLES = (
    "settlement.items",
    "settlement.claims",
    "settlement.exception_items",
    "fund_platform.credit_answers",
    "fund_platform.postings WHERE idempotency_key IS NOT NULL",
)


def run_one_statement(database_url: str, chunk_size: int) -> float:
    """Settle all overdue orders of a database in one statement. Return the seconds that it took, with its commit."""
    with psycopg.connect(database_url) as connection:
        started = time.perf_counter()
        psycopg.RawCursor(connection).execute(
            _SQL.read_bytes(),
            [
                datetime.now(UTC),
                chunk_size,
                list(limits.ORDER_AMOUNT_MINOR_MAX),
                list(limits.ORDER_AMOUNT_MINOR_MAX.values()),
            ],
        )
        connection.commit()
        return time.perf_counter() - started


def count_rows(database_url: str) -> dict[str, int]:
    """Count the rows that a run writes for its orders and sum all balances. All contestants must write the same."""
    with psycopg.connect(database_url, row_factory=scalar_row) as connection:
        counts = {
            table: connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()  # noqa: S608 (fixed names)
            for table in TABLES
        }
        counts["balance_minor"] = connection.execute(
            "SELECT coalesce(sum(balance_minor), 0)::bigint FROM fund_platform.accounts"
        ).fetchone()
        return {table: int(count or 0) for table, count in counts.items()}


def require_rows(database_url: str, expected: dict[str, int]) -> None:
    """Check that a run wrote the same rows as the one statement.

    Raises:
        RuntimeError: the rows differ, so the run's time cannot be compared.
    """
    found = count_rows(database_url)
    if found != expected:
        raise RuntimeError(f"A contestant wrote {found}, but the one statement wrote {expected}.")
