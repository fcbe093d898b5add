"""The adapters that a contract test runs on: both, unless the double does not fulfil that part of the contract."""

import pytest

ADAPTERS = ("memory", "postgres")


def not_in_memory(reason: str) -> pytest.MarkDecorator:
    """Run a contract test on the real adapter only; the double's docstring says the same.

    Args:
        reason: why the double does not fulfil it; it becomes part of the test's id.
    """
    return pytest.mark.parametrize("adapter", [pytest.param("postgres", id=f"postgres, for {reason}")], indirect=True)
