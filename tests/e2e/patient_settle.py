"""The installed `settle`, with timeouts that are long enough for a busy machine."""

from domain import limits
from starters.cli import main

PATIENCE_S = 120


def be_patient() -> None:
    """Raise the timeouts of this process. All of these bounds are read when they are used."""
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
