"""The faults of a round and their times. Pure: they depend only on the round's seed."""

import random
from enum import StrEnum
from typing import NamedTuple

FAULT_COUNT = 10
FIRST_FAULT_S = 6.0
GAP_S = (2.0, 6.0)


class Role(StrEnum):
    """The role of a target."""

    WORKER = "worker"
    INTAKE = "intake"
    RELAY = "relay"
    TEMPORAL = "temporal"
    POSTGRESQL = "postgresql"
    BROKER = "broker"


class Kind(StrEnum):
    """The kind of a fault."""

    KILL = "kill"
    """SIGKILL, and a start after the outage."""
    PAUSE = "pause"
    """SIGSTOP, which leaves the connections open, and SIGCONT after the outage."""
    RESTART = "restart"
    """A graceful stop and an immediate start."""
    CUT = "cut"
    """A reset of all connections, with the data on its way."""


PROCESSES = {
    Role.WORKER: ("worker-1", "worker-2"),
    Role.INTAKE: ("intake-1", "intake-2"),
    Role.RELAY: ("relay-1", "relay-2"),
}
SERVERS = (Role.TEMPORAL, Role.POSTGRESQL, Role.BROKER)
PROCESS_KINDS = (Kind.KILL, Kind.PAUSE, Kind.RESTART)
# A process may be paused for longer than its heartbeat (3 s), its session (10 s) and its lease (15 s).
PROCESS_OUTAGE_S = {Kind.KILL: (0.0, 4.0), Kind.PAUSE: (1.0, 18.0), Kind.RESTART: (0.0, 0.0)}
SERVER_OUTAGE_S = {Kind.KILL: (0.5, 6.0), Kind.PAUSE: (1.0, 8.0), Kind.RESTART: (0.0, 0.0), Kind.CUT: (0.0, 0.0)}


class Fault(NamedTuple):
    """One fault. `at_s` counts from the start of the round."""

    at_s: float
    role: Role
    target: str
    kind: Kind
    outage_s: float


def plan_faults(seed: int) -> list[Fault]:
    """Plan a round's faults, ordered by time. Each role is hit at least once. Faults may overlap."""
    dice = random.Random(seed)
    roles = [*Role, *dice.choices(list(Role), k=FAULT_COUNT - len(Role))]
    dice.shuffle(roles)
    at_s = FIRST_FAULT_S
    faults = []
    for role in roles:
        faults.append(_plan_fault(round(at_s, 1), role, dice))
        at_s += dice.uniform(*GAP_S)
    return faults


def _plan_fault(at_s: float, role: Role, dice: random.Random) -> Fault:
    outages = SERVER_OUTAGE_S if role in SERVERS else PROCESS_OUTAGE_S
    kind = dice.choice(list(outages))
    target = dice.choice(PROCESSES.get(role, (role.value,)))
    return Fault(at_s, role, target, kind, round(dice.uniform(*outages[kind]), 1))
