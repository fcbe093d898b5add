"""Database URLs, fit to be shown."""

import re

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

SCHEMES = ("postgresql://", "postgres://")

# Greedy up to the last @: a password with a raw @ or / in it is hidden whole.
_PASSWORD = re.compile(r"(?<=://)([^:/?#@]*):.*@")
_PASSWORD_PARAMETER = re.compile(r"(?<=[?&])((?:ssl)?password=)[^&]*")


def without_password(url: str) -> str:
    """The URL with any password left out."""
    return _PASSWORD_PARAMETER.sub(r"\1…", _PASSWORD.sub(r"\1@", url))


def is_database_url(text: str) -> bool:
    """Whether libpq can read the text as a URL."""
    try:
        conninfo_to_dict(text)
    except ProgrammingError:
        return False
    return text.startswith(SCHEMES)
