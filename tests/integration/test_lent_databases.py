"""A database that is lent to one test after another always equals its template."""

import psycopg
import pytest

from runtime.stack_state import StackState
from tests.support.databases import lent_database, name_of

TEMPLATE = "template_fund_platform"
USED = """
INSERT INTO fund_platform.accounts (account_id, currency) VALUES ('alice', 'USD');
INSERT INTO fund_platform.postings VALUES (nextval('fund_platform.journal_entry_ids'), 'alice', 5, 'USD', 'k');
"""


def execute(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)


def fetch(url: str, query: str) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(query).fetchall()


def test_a_database_that_is_lent_again_is_empty_and_counts_from_its_start(stack: StackState) -> None:
    with lent_database(stack.database_url, TEMPLATE) as first:
        execute(first, USED)
    with lent_database(stack.database_url, TEMPLATE) as again:
        assert again == first
        assert fetch(again, "SELECT FROM fund_platform.accounts UNION ALL SELECT FROM fund_platform.postings") == []
        assert fetch(again, "SELECT nextval('fund_platform.journal_entry_ids')") == [(1,)]


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE fund_platform.accounts ADD COLUMN more text",
        "SET session_replication_role = replica; DROP INDEX fund_platform.postings_by_key",
        "DELETE FROM fund_platform._yoyo_migration",
        "ALTER DATABASE {name} SET work_mem = '1MB'",
    ],
)
def test_a_database_that_more_than_rows_was_changed_of_is_not_lent_again(stack: StackState, change: str) -> None:
    with lent_database(stack.database_url, TEMPLATE) as changed:
        execute(changed, change.replace("{name}", name_of(changed)))
    assert fetch(stack.database_url, f"SELECT FROM pg_database WHERE datname = '{name_of(changed)}'") == []
    with lent_database(stack.database_url, TEMPLATE) as other:
        assert other != changed
