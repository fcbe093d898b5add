"""`python -m bench.worker ROLE`: a worker for `workflows` or for `activities`; `settle worker` is one for both."""

import sys
from typing import Any
from unittest.mock import patch

from temporalio.client import Client
from temporalio.worker import Worker

from starters.worker import worker


def main() -> None:
    """Serve as `settle worker` does, in one role."""
    left_out = {"workflows": "activities", "activities": "workflows"}[sys.argv[1]]

    def make(client: Client, **options: Any) -> Worker:
        return Worker(client, **{**options, left_out: ()})

    with patch("workers.settlement_worker.Worker", make):
        worker()


if __name__ == "__main__":
    main()
