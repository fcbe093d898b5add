"""`settle worker` whose requests to the Fund Platform take longer than any other's.

python -m tests.e2e.slow_worker SECONDS
"""

import asyncio
import sys
from collections.abc import Mapping, Sequence

from fund_platform.postgres.credits import PostgresCredits
from schemas.ledger import CreditRequest, CreditResultCode
from starters.cli import main

REQUEST_S = float(sys.argv[1])

_post_credits = PostgresCredits.post_credits


async def _post_slowly(
    self: PostgresCredits, reference: str, requests: Sequence[CreditRequest]
) -> Mapping[str, CreditResultCode]:
    await asyncio.sleep(REQUEST_S)
    return await _post_credits(self, reference, requests)


if __name__ == "__main__":
    PostgresCredits.post_credits = _post_slowly  # type: ignore[method-assign]
    sys.argv[1:] = ["worker"]
    main()  # ends as `settle` does: a thread of Temporal's SDK might abort another end of the process
