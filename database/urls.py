"""Database URLs, fit to be shown."""

import re

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

SCHEMES = ("postgresql://", "postgres://")

_PASSWORD = re.compile(r"(?<=://)([^:/?#@]*):[^@/?#]*@")
_PASSWORD_PARAMETER = re.compile(r"(?<=[?&]password=)[^&]*")


def without_password(url: str) -> str:
    """The URL with any password left out."""
    return _PASSWORD_PARAMETER.sub("…", _PASSWORD.sub(r"\1@", url))


def is_database_url(text: str) -> bool:
    """Whether libpq can read the text as a URL."""
    try:
        conninfo_to_dict(text)
    except ProgrammingError:
        return False
    return text.startswith(SCHEMES)
