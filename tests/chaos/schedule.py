"""Which faults a round has, and when: pure, all of it from the round's seed."""

import random
from enum import StrEnum
from typing import NamedTuple

FAULT_COUNT = 10
FIRST_FAULT_S = 6.0
GAP_S = (2.0, 6.0)


class Role(StrEnum):
    """What can be hit."""

    WORKER = "worker"
    INTAKE = "intake"
    RELAY = "relay"
    TEMPORAL = "temporal"
    POSTGRESQL = "postgresql"
    BROKER = "broker"


class Kind(StrEnum):
    """How it is hit."""

    KILL = "kill"
    """SIGKILL; started again after the outage."""
    PAUSE = "pause"
    """SIGSTOP: silent with its connections open; SIGCONT after the outage."""
    RESTART = "restart"
    """Stopped in good order and started again at once."""
    CUT = "cut"
    """All connections to it are reset, with whatever is on its way in them."""


PROCESSES = {
    Role.WORKER: ("worker-1", "worker-2"),
    Role.INTAKE: ("intake-1", "intake-2"),
    Role.RELAY: ("relay-1", "relay-2"),
}
SERVERS = (Role.TEMPORAL, Role.POSTGRESQL, Role.BROKER)
PROCESS_KINDS = (Kind.KILL, Kind.PAUSE, Kind.RESTART)
# A process may be silent for longer than its heartbeat (3 s), its session (10 s) and its lease (15 s).
PROCESS_OUTAGE_S = {Kind.KILL: (0.0, 4.0), Kind.PAUSE: (1.0, 18.0), Kind.RESTART: (0.0, 0.0)}
SERVER_OUTAGE_S = {Kind.KILL: (0.5, 6.0), Kind.PAUSE: (1.0, 8.0), Kind.RESTART: (0.0, 0.0), Kind.CUT: (0.0, 0.0)}


class Fault(NamedTuple):
    """One fault; `at_s` is from the start of the round."""

    at_s: float
    role: Role
    target: str
    kind: Kind
    outage_s: float


def plan_faults(seed: int) -> list[Fault]:
    """Plan a round's faults in the order of their times: each role is hit at least once. They may overlap."""
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
