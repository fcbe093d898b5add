"""Tools that a user's machine may lack, and CI's never."""

import os
from typing import NoReturn

import pytest


def lacks(reason: str) -> NoReturn:
    """Skip the test with the reason; with REQUIRE_ALL_TOOLS, which CI sets, fail it."""
    if os.environ.get("REQUIRE_ALL_TOOLS"):
        pytest.fail(reason)
    pytest.skip(reason)
