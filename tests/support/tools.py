"""Tools that may be missing on a user's machine but must be installed in CI."""

import os
from typing import NoReturn

import pytest


def lacks(reason: str) -> NoReturn:
    """Skip the test with a reason. If REQUIRE_ALL_TOOLS is set, as in CI, fail it."""
    if os.environ.get("REQUIRE_ALL_TOOLS"):
        pytest.fail(reason)
    pytest.skip(reason)
