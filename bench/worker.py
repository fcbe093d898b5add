"""`python -m bench.worker ROLE`: a worker for either `workflows` or `activities`. `settle worker` serves both.

Local activities run in the worker for workflows.
"""

import sys
from typing import Any
from unittest.mock import patch

from temporalio.client import Client
from temporalio.worker import Worker

from starters.worker import worker


def main() -> None:
    """Serve like `settle worker`, in one role."""
    changed_by_role: dict[str, dict[str, Any]] = {
        "workflows": {"no_remote_activities": True},
        "activities": {"workflows": ()},
    }
    changed = changed_by_role[sys.argv[1]]

    def make(client: Client, **options: Any) -> Worker:
        return Worker(client, **{**options, **changed})

    with patch("workers.settlement_worker.Worker", make):
        worker()


if __name__ == "__main__":
    main()
