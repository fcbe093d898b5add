"""All generated pages."""

from collections.abc import Mapping
from pathlib import Path

from tools.reference.codes import codes_page
from tools.reference.commands import commands_page
from tools.reference.events import asyncapi_yaml, events_page
from tools.reference.settings import settings_page
from tools.reference.tables import DescribedTable, tables_page

DIRECTORY = Path(__file__).parents[2] / "docs" / "reference"


def pages(tables: Mapping[str, list[DescribedTable]]) -> dict[str, str]:
    """Return the text of each page by its file name in `docs/reference/`."""
    return {
        "commands.md": commands_page(),
        "settings.md": settings_page(),
        "codes.md": codes_page(),
        "events.md": events_page(),
        "asyncapi.yaml": asyncapi_yaml(),
        "tables.md": tables_page(tables),
    }
