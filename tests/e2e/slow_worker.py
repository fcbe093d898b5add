"""A `settle worker` with a test's own bounds. Its requests to the Fund Platform wait while a file exists.

python -m tests.e2e.slow_worker FILE [BOUND=SECONDS ...]
"""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from domain import limits

for bound in sys.argv[2:]:  # before anything is built from the bounds
    setattr(limits, bound.partition("=")[0], float(bound.partition("=")[2]))

from fund_platform.postgres.credits import PostgresCredits  # noqa: E402
from schemas.ledger import CreditRequest, CreditResultCode  # noqa: E402
from starters.cli import main  # noqa: E402

HELD_BY = Path(sys.argv[1])
POLL_INTERVAL_S = 0.05

_post_credits = PostgresCredits.post_credits


async def _post_slowly(
    self: PostgresCredits, reference: str, requests: Sequence[CreditRequest]
) -> Mapping[str, CreditResultCode]:
    while HELD_BY.exists():  # noqa: ASYNC110, ASYNC240 (another process removes it)
        await asyncio.sleep(POLL_INTERVAL_S)
    return await _post_credits(self, reference, requests)


if __name__ == "__main__":
    PostgresCredits.post_credits = _post_slowly  # type: ignore[method-assign]
    sys.argv[1:] = ["worker"]
    main()  # exit as `settle` does: on another exit a thread of Temporal's SDK might abort the process
