"""`settle` as it is installed, but that waits for servers and answers for as long as a busy machine takes."""

import sys
from collections.abc import Sequence

from domain import limits

PATIENCE_S = 120

for bound in (
    "CONTROL_ANSWER_TIMEOUT_S",
    "DATABASE_CONNECT_TIMEOUT_S",
    "KAFKA_CONNECT_TIMEOUT_S",
    "SCHEDULE_TRIGGER_TIMEOUT_S",
    "TEMPORAL_CONNECT_TIMEOUT_S",
    "TEMPORAL_RPC_TIMEOUT_S",
):  # before anything is built from them
    setattr(limits, bound, PATIENCE_S)

from starters.cli import main  # noqa: E402


def be_settle(arguments: Sequence[str]) -> None:
    """Run a command, which ends this process."""
    sys.argv = ["settle", *arguments]
    main()


if __name__ == "__main__":
    be_settle(sys.argv[1:])
