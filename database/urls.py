"""Database URLs, fit to be shown."""

import re

_PASSWORD = re.compile(r"(?<=://)([^:/?#@]*):[^@/?#]*@")
_PASSWORD_PARAMETER = re.compile(r"(?<=[?&]password=)[^&]*")


def without_password(url: str) -> str:
    """The URL with any password left out."""
    return _PASSWORD_PARAMETER.sub("…", _PASSWORD.sub(r"\1@", url))
