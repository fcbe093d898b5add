"""`settle worker` that kills itself right before or right after a call of the settlement store commits.

python -m tests.failing_worker METHOD before|after
"""

import os
import signal
import sys
from typing import Any

from settlement_store.postgres import PostgresSettlementStore
from starters.worker import worker


def arm(method: str, moment: str) -> None:
    """Kill this process at the first call of a method, before it does anything or when it has committed."""
    original = getattr(PostgresSettlementStore, method)

    async def call(*arguments: Any, **named: Any) -> Any:
        if moment == "after":
            await original(*arguments, **named)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(PostgresSettlementStore, method, call)


if __name__ == "__main__":
    arm(*sys.argv[1:])
    worker()
