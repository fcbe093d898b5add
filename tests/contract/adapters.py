"""Which adapters a contract test runs on: both, unless the one in memory does not hold that part of the contract."""

import pytest

ADAPTERS = ("memory", "postgres")


def not_in_memory(reason: str) -> pytest.MarkDecorator:
    """Run a contract test on the real adapter only; the double's docstring says the same.

    Args:
        reason: what the one in memory does not hold; it becomes a part of the test's name.
    """
    return pytest.mark.parametrize("adapter", [pytest.param("postgres", id=f"postgres, for {reason}")], indirect=True)
