"""The names of topics and consumer groups, which are part of the contract with other systems."""

from typing import NamedTuple


class Topics(NamedTuple):
    """The names that one installation uses."""

    overdue: str
    dead_letters: str
    results: str
    intake_group: str
    replay_group: str

    @property
    def all(self) -> tuple[str, ...]:
        """The names of all topics."""
        return (self.overdue, self.dead_letters, self.results)


def topics_of(prefix: str) -> Topics:
    """Return the names with a prefix, which lets several installations share a cluster."""
    return Topics(
        overdue=f"{prefix}orders.overdue",
        dead_letters=f"{prefix}orders.overdue.dlq",
        results=f"{prefix}settlement.results",
        intake_group=f"{prefix}settle-intake",
        replay_group=f"{prefix}settle-dlq-replay",
    )
