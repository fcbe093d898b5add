"""The script that `docker-compose.yml` gives to PostgreSQL creates its databases."""

import re

import psycopg

from runtime.stack_state import StackState
from tests.support.compose import ROOT
from tests.support.databases import execute


def test_the_script_makes_its_databases(stack: StackState) -> None:
    statements = (ROOT / "deploy/postgresql/databases.sql").read_text()
    names = re.findall(r"CREATE DATABASE (\w+);", statements)
    try:
        with psycopg.connect(stack.database_url, autocommit=True) as connection:
            for statement in statements.split(";"):
                connection.execute(statement.encode())
            found = connection.execute("SELECT datname FROM pg_database").fetchall()
        assert {(name,) for name in names} <= set(found)
    finally:
        for name in names:
            execute(stack.database_url, "DROP DATABASE IF EXISTS {}", name)
