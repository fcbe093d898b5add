"""`make reference`: write the reference pages anew."""

import asyncio
import sys

from tests.simulation.servers import postgresql_server
from tests.support.databases import url_of
from tools.reference.pages import DIRECTORY, pages
from tools.reference.tables import fetch_tables


def main() -> None:
    """Write each page, with the tables of a PostgreSQL server of its own."""
    with postgresql_server() as server_url:
        tables = asyncio.run(fetch_tables(url_of(server_url, "template_all")))
    for name, text in pages(tables).items():
        (DIRECTORY / name).write_text(text)
        sys.stdout.write(f"docs/reference/{name}\n")


if __name__ == "__main__":
    main()
