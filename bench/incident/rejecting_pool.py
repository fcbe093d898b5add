"""A pool of threads with a bounded queue that rejects what finds no place, like Java's AbortPolicy."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


class RejectedError(Exception):
    """All threads are busy and the queue is full; the task was not taken, and nobody will run it."""


class RejectingPool:
    """Runs tasks on threads; a task that raises is gone without a sound, as in a pool whose futures nobody reads."""

    def __init__(self, thread_count: int, queue_size: int) -> None:
        self._threads = ThreadPoolExecutor(thread_count)
        self._places = threading.Semaphore(thread_count + queue_size)

    def submit(self, task: Callable[[], None]) -> None:
        """Have a task run by a thread, now or when one is free.

        Raises:
            RejectedError: there is no place for it.
        """
        if not self._places.acquire(blocking=False):
            raise RejectedError
        self._threads.submit(task).add_done_callback(lambda _: self._places.release())
