"""The reference pages of the docs equal what the code generates, and every table has its sentence."""

import json
from pathlib import Path

import jsonschema_rs
import pytest

from runtime.stack_state import StackState
from tests.support.databases import cloned_database
from tools.reference.events import asyncapi
from tools.reference.pages import DIRECTORY, pages
from tools.reference.tables import DescribedTable, fetch_tables

Tables = dict[str, list[DescribedTable]]


@pytest.fixture
async def tables(stack: StackState) -> Tables:
    with cloned_database(stack.database_url, "template_all") as database_url:
        return await fetch_tables(database_url)


def test_every_reference_page_is_as_the_code_gives_it(tables: Tables) -> None:
    stale = [name for name, text in pages(tables).items() if (DIRECTORY / name).read_text() != text]
    assert not stale, f"run `make reference`, then commit {', '.join(stale)}"


def test_no_reference_page_is_left_that_the_code_does_not_give(tables: Tables) -> None:
    assert {path.name for path in DIRECTORY.iterdir()} == set(pages(tables))


def test_every_table_has_a_sentence(tables: Tables) -> None:
    assert [each.name for schema in tables.values() for each in schema if not each.sentence] == []
    assert all(tables.values())


def test_the_events_are_valid_asyncapi() -> None:
    """The schema is AsyncAPI's own, from @asyncapi/specs 6.11.1 (Apache-2.0)."""
    schema = json.loads(Path(__file__).with_name("asyncapi-3.0.0.schema.json").read_text())
    jsonschema_rs.validator_for(schema).validate(asyncapi())
