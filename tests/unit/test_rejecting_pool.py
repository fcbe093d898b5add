"""The pool of the design that failed rejects tasks that find no place, and runs all others."""

import threading
from collections.abc import Callable

from bench.incident.rejecting_pool import RejectedError, RejectingPool
from tests.support.settlements import eventually

THREAD_COUNT = 3
QUEUE_SIZE = 4
TIMEOUT_S = 120


def takes(pool: RejectingPool, task: Callable[[], None]) -> bool:
    try:
        pool.submit(task)
    except RejectedError:
        return False
    return True


async def test_a_task_is_rejected_just_while_all_threads_are_busy_and_the_queue_is_full() -> None:
    pool = RejectingPool(THREAD_COUNT, QUEUE_SIZE)
    started, may_end = threading.Semaphore(0), threading.Semaphore(0)

    def task() -> None:
        started.release()
        assert may_end.acquire(timeout=TIMEOUT_S)

    async def takes_one_more() -> bool:
        return takes(pool, task)

    offered_count = THREAD_COUNT + QUEUE_SIZE + 5
    assert sum(takes(pool, task) for _ in range(offered_count)) == THREAD_COUNT + QUEUE_SIZE
    for _ in range(THREAD_COUNT):
        assert started.acquire(timeout=TIMEOUT_S)
    assert not started.acquire(blocking=False), "more tasks run at once than there are threads"

    may_end.release()
    assert started.acquire(timeout=TIMEOUT_S), "a queued task was not run when a thread was free"
    assert await eventually(takes_one_more)
    assert not takes(pool, task)
    may_end.release(THREAD_COUNT + QUEUE_SIZE)


async def test_a_task_that_raises_gives_its_place_back() -> None:
    pool = RejectingPool(1, 0)

    def task() -> None:
        raise ValueError

    async def takes_another() -> bool:
        return takes(pool, task)

    pool.submit(task)
    assert await eventually(takes_another)
