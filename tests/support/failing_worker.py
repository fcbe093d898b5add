"""A `settle worker` that kills itself immediately before or after a call of the settlement store commits.

python -m tests.support.failing_worker METHOD before|after
"""

import os
import signal
import sys
from typing import Any, cast

from database.pools import Pool
from settlement_store.postgres import PostgresSettlementStore
from starters.worker import worker


def arm(method: str, moment: str) -> None:
    """Make this process kill itself at the first call of a method, before the call or after its commit."""
    [part] = [part for part in vars(PostgresSettlementStore(cast("Pool", None))).values() if hasattr(part, method)]
    original = getattr(type(part), method)

    async def call(*arguments: Any, **named: Any) -> Any:
        if moment == "after":
            await original(*arguments, **named)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(type(part), method, call)


if __name__ == "__main__":
    arm(*sys.argv[1:])
    worker()
