"""`settle` as it is installed, but that waits for servers and answers for as long as a busy machine takes."""

from domain import limits
from starters.cli import main

PATIENCE_S = 120


def be_patient() -> None:
    """Wait longer from now on, in this process; all of these bounds are read when they are used."""
    for bound in (
        "CONTROL_ANSWER_TIMEOUT_S",
        "DATABASE_CONNECT_TIMEOUT_S",
        "KAFKA_CONNECT_TIMEOUT_S",
        "SCHEDULE_TRIGGER_TIMEOUT_S",
        "TEMPORAL_CONNECT_TIMEOUT_S",
        "TEMPORAL_RPC_TIMEOUT_S",
    ):
        setattr(limits, bound, PATIENCE_S)


if __name__ == "__main__":
    be_patient()
    main()
