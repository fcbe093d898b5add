"""Each contestant of `make bench` writes the same rows as the one statement."""

from urllib.parse import urlsplit

import pytest

from bench.compare import contestants
from bench.databases import own_database
from bench.one_statement import count_rows, run_one_statement
from runtime.settings import Settings, load_settings
from tests.e2e.conftest import Commands

ORDER_COUNT = 400
CHUNK_SIZES = (100,)


@pytest.fixture
def settings(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of a database with a few overdue orders."""
    commands.ok("sample", "orders.csv", "--orders", str(ORDER_COUNT), "--seed", "3", "--bad-rate", "0.1")
    commands.ok("import", "orders.csv")
    for name, value in commands.environment.items():
        monkeypatch.setenv(name, value)
    return load_settings()


def test_every_contestant_settles_all_orders_it_is_given(settings: Settings) -> None:
    name = urlsplit(settings.database_url).path.removeprefix("/")
    with own_database(settings, f"{name}-bound") as own:
        run_one_statement(own.database_url, own.chunk_size)
        rows = count_rows(own.database_url)
    assert rows["settlement.items"] == ORDER_COUNT

    for number, contestant in enumerate(contestants(ORDER_COUNT, CHUNK_SIZES, rows)):
        if contestant.name in ("Settle", "a workflow per order"):
            continue  # all other tests cover it
        with own_database(settings, f"{name}-{number}") as own:
            assert contestant.run(own) > 0
            if contestant.name != "lean bound":  # it has its own tables
                assert count_rows(own.database_url) == rows, contestant.title
