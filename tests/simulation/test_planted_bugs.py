"""Each planted bug makes the seed fail that is listed here for it."""

import logging
from collections.abc import Iterator
from types import MappingProxyType

import pytest

from tests.simulation.planted import find_catch
from tests.simulation.planted_bugs import PLANTED_BUGS

SEED_BY_BUG = MappingProxyType(
    {
        "key includes the batch id": 1,
        "timeout taken for failed": 2,
        "timeout taken for settled": 9,
        "window slot leaked": 7,
        "continue-as-new repeats a chunk": 7,
        "continue-as-new loses a chunk": 7,
        "late validate overwrites": 6,
        "lost validation credited": 7,
        "compare-and-set left out": 19,
        "different payload taken as exists": 1,
        "abort holds a chunk in flight": 49,
        "rerun plans an unknown outcome anew": 1,
        "refusal not stored": 1,
        "claim released too early": 150,
        "lower claim_no accepted": 238,
        "aborted rerun forgets the unknown": 15,
    }
)
# A seed's faults are always the same, but the test server decides the order of its attempts.
RUN_COUNT_MAX = 3


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Disable logging, because the intended failures would fill it."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


def test_every_planted_bug_has_a_seed() -> None:
    assert SEED_BY_BUG.keys() == PLANTED_BUGS.keys()


@pytest.mark.parametrize("name", SEED_BY_BUG)
async def test_a_seed_of_the_simulator_fails_with(name: str) -> None:
    assert await find_catch(name, [SEED_BY_BUG[name]] * RUN_COUNT_MAX)
