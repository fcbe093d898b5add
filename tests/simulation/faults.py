"""The faults of a seed: at most one per attempt, chosen by a hash of seed, step, range and attempt number."""

from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from tests.simulation.chance import Chance

# Later attempts of one step over one range get no faults, so every step succeeds in the end.
FAULTY_ATTEMPT_COUNT = 4


class Place(NamedTuple):
    """An attempt's step and range. Without a chunk index it is the whole batch."""

    step: str
    batch: str
    chunk_index: int | None = None
    items: tuple[int, int] | None = None  # of a probe

    def __str__(self) -> str:
        chunk = "" if self.chunk_index is None else f" chunk {self.chunk_index}"
        items = "" if self.items is None else f" items {self.items[0]} to {self.items[1] - 1}"
        return f"{self.step} of {self.batch}{chunk}{items}"

    def is_over_range_of(self, other: "Place") -> bool:
        """Return whether both have the same range."""
        return self[1:3] == other[1:3]


class FaultKind(StrEnum):
    """The kind of failure at one call of a port."""

    REQUEST_DROPPED = "request dropped"
    RESPONSE_DROPPED = "response dropped"
    DUPLICATED = "duplicated"
    LATE_REQUEST = "late request"  # the attempt is presumed dead before the call and makes it later
    LATE_RESPONSE = "late response"  # the attempt is presumed dead after the call and continues later
    PARTIAL_ANSWER = "partial answer"
    WORKER_KILLED = "worker killed"  # with all attempts that it is running
    FAILED_FOR_GOOD = "failed for good"


class Wake(StrEnum):
    """When an attempt that was presumed dead continues, at the latest at the end of the seed."""

    NEXT_CALL = "a later attempt makes the same call"
    STEP_DONE = "a later attempt has done the step"
    CHUNK_CLOSED = "the chunk is closed"
    BATCH_FINAL = "the batch is final"
    LATER_CREDIT = "another batch has asked for one of its credits"
    END = "the end"


class Fault(NamedTuple):
    """One fault, at the attempt's first call of a method."""

    kind: FaultKind
    method: str
    wake: Wake


# The calls at which a step can fail. The most important ones are listed more than once.
_VALIDATION_CALLS = ("fetch_records", "store_validation", "store_validation", "acknowledge")
_CREDITING_CALLS = ("post_credits", "post_credits", "post_credits", "store_outcomes", "store_outcomes")
_CALLS = MappingProxyType(
    {
        "prepare_batch": (
            "open_batch",
            "append_orders",
            "append_rerun_items",
            "acknowledge",
            "freeze_batch",
            "set_running",
        ),
        "settle_chunk": ("fetch_chunk", "fetch_pending_items", *_VALIDATION_CALLS, *_CREDITING_CALLS),
        "validate_chunk": ("fetch_chunk", "fetch_pending_items", *_VALIDATION_CALLS),
        "credit_chunk": ("fetch_chunk", "fetch_pending_items", *_CREDITING_CALLS),
        "probe_validation": ("fetch_chunk", "fetch_pending_items", "fetch_records"),
        "probe_credits": ("fetch_pending_items", "post_credits", "post_credits", "withdraw_credits"),
        "hold_chunk": ("hold_chunk",),
        "hold_remaining_chunks": ("fetch_unclosed_chunks", "hold_chunk", "hold_chunk", "fetch_outcome_totals"),
        "control_batch": ("control_batch",),
        "fetch_control": ("fetch_control",),
        "fetch_chunk_totals": ("fetch_chunk_totals",),
        "close_batch": ("fetch_progress", "fetch_batch", "fetch_item_groups", "fetch_credit_totals", "close_batch"),
        "intake": ("open_batch", "append_orders", "freeze_batch"),
    }
)
# The calls that are worth delaying: they have an effect, or the attempt acts on what they read.
_LATE_CALLS = MappingProxyType(
    {
        "settle_chunk": ("fetch_records", "store_validation", "post_credits", "post_credits", "store_outcomes"),
        "validate_chunk": ("fetch_records", "store_validation", "store_validation"),
        "credit_chunk": ("post_credits", "post_credits", "store_outcomes"),
        "probe_credits": ("post_credits", "withdraw_credits"),
    }
)
_WEIGHT_BY_KIND = {
    FaultKind.REQUEST_DROPPED: 14,
    FaultKind.RESPONSE_DROPPED: 20,
    FaultKind.DUPLICATED: 12,
    FaultKind.LATE_REQUEST: 20,
    FaultKind.LATE_RESPONSE: 14,
    FaultKind.PARTIAL_ANSWER: 8,
    FaultKind.WORKER_KILLED: 6,
    FaultKind.FAILED_FOR_GOOD: 9,
}
_WEIGHT_BY_WAKE = {
    Wake.NEXT_CALL: 25,
    Wake.STEP_DONE: 20,
    Wake.CHUNK_CLOSED: 20,
    Wake.BATCH_FINAL: 10,
    Wake.LATER_CREDIT: 25,
    Wake.END: 15,
}
_CHUNK_STEPS = frozenset({"settle_chunk", "validate_chunk", "credit_chunk", "probe_validation", "probe_credits"})
_PARTIAL_METHODS = frozenset({"post_credits", "fetch_records", "fetch_overdue_slice"})
_SEVERITIES = (0.2, 0.35, 0.5)


def plan_fault(chance: Chance, place: Place, attempt_no: int) -> Fault | None:
    """Return the fault of one attempt, or None.

    Only chunk steps can fail for good. If a step of a batch's workflow did, it would need a person.
    """
    if attempt_no > FAULTY_ATTEMPT_COUNT:
        return None
    names = (*place, attempt_no)
    severity = chance.pick(_SEVERITIES, "severity")
    if not chance.happens(severity, "is faulty", *names):
        return None
    kind = chance.weighted(chance.swarmed(_WEIGHT_BY_KIND, "kinds of faults"), "kind of fault", *names)
    is_late = kind in (FaultKind.LATE_REQUEST, FaultKind.LATE_RESPONSE)
    methods = _LATE_CALLS.get(place.step, _CALLS[place.step]) if is_late else _CALLS[place.step]
    method = chance.pick(methods, "faulty call", *names)
    wake = chance.weighted(_WEIGHT_BY_WAKE, "wake", *names)
    if kind == FaultKind.FAILED_FOR_GOOD and place.step not in _CHUNK_STEPS:
        kind = FaultKind.REQUEST_DROPPED
    if kind == FaultKind.PARTIAL_ANSWER and method not in _PARTIAL_METHODS:
        kind = FaultKind.RESPONSE_DROPPED
    return Fault(kind, method, wake)
