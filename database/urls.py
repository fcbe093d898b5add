"""Database URLs, checked and without passwords."""

import re

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

SCHEMES = ("postgresql://", "postgres://")

# Greedy up to the last @, to hide all of a password that contains a raw @ or /.
_PASSWORD = re.compile(r"(?<=://)([^:/?#@]*):.*@")
_PASSWORD_PARAMETER = re.compile(r"(?<=[?&])((?:ssl)?password=)[^&]*")


def without_password(url: str) -> str:
    """Return the URL without any password."""
    return _PASSWORD_PARAMETER.sub(r"\1…", _PASSWORD.sub(r"\1@", url))


def is_database_url(text: str) -> bool:
    """Return whether the text is a PostgreSQL URL that libpq can read."""
    try:
        conninfo_to_dict(text)
    except ProgrammingError:
        return False
    return text.startswith(SCHEMES)
