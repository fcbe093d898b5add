"""A `settle worker` that kills itself (SIGKILL) the second time that it reaches a point.

python -m tests.e2e.dying_worker before-request | after-effect
"""

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from itertools import count

from fund_platform.postgres.credits import PostgresCredits
from schemas.ledger import CreditRequest, CreditResultCode
from starters.worker import worker

_serial = count(1)
_post_credits = PostgresCredits.post_credits


def _die_at(point: str) -> None:
    if point == sys.argv[1] and next(_serial) == 2:
        os.kill(os.getpid(), signal.SIGKILL)


async def _post_and_die(
    self: PostgresCredits, reference: str, requests: Sequence[CreditRequest]
) -> Mapping[str, CreditResultCode]:
    _die_at("before-request")
    codes = await _post_credits(self, reference, requests)
    _die_at("after-effect")
    return codes


if __name__ == "__main__":
    PostgresCredits.post_credits = _post_and_die  # type: ignore[method-assign]
    worker()
