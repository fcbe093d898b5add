"""`settle intake` with few records per poll, that kills itself the N-th time that it reaches a point.

python -m tests.kafka.failing_intake [POINT N [SIGNAL]]
"""

import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

from domain import limits
from messaging.record_source import RecordSource
from settlement_store.postgres import filling
from settling.intake_filling import BatchFilling
from starters.intake import intake
from workers.intake import BatchStarter

RECORD_COUNT = 400  # fewer records per poll give more polls to be killed in

Method = Callable[..., Awaitable[Any]]


def is_append(_: Any, query: str, *__: Any) -> bool:
    return query == filling._COUNT_APPENDED


def has_records(result: Any) -> bool:
    return bool(result)


# By point: the class and the method that precede it, and the calls and results that count.
POINTS: dict[str, tuple[type, str, Callable[..., bool], Callable[[Any], bool]]] = {
    "after_poll": (RecordSource, "poll", lambda *_: True, has_records),
    "after_insert": (asyncpg.Connection, "execute", is_append, lambda _: True),
    "after_database_commit": (BatchFilling, "append", lambda *_: True, lambda _: True),
    "after_offset_commit": (RecordSource, "commit", lambda source: bool(source._durable), lambda _: True),
    "after_freezing": (filling.PostgresFilling, "freeze_batch", lambda *_: True, lambda _: True),
    "after_starting": (BatchStarter, "start", lambda *_: True, lambda _: True),
}


def arm(point: str, count: int, signal_name: str = "SIGKILL") -> None:
    """Send this process a signal after the count-th call that counts."""
    owner, name, counts_call, counts_result = POINTS[point]
    original: Method = getattr(owner, name)
    left = count

    async def call(*arguments: Any, **named: Any) -> Any:
        nonlocal left
        counted = counts_call(*arguments)
        result = await original(*arguments, **named)
        if counted and counts_result(result):
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.Signals[signal_name])
        return result

    setattr(owner, name, call)


if __name__ == "__main__":
    limits.INTAKE_RECORD_COUNT_MAX = RECORD_COUNT
    if len(sys.argv) > 1:
        arm(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
    intake()
