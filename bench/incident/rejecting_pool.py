"""A thread pool with a bounded queue that rejects tasks when it is full, like Java's AbortPolicy."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


class RejectedError(Exception):
    """All threads are busy and the queue is full. The task will not run."""


class RejectingPool:
    """Runs tasks on threads. A task's exception is lost, as in a pool whose futures are not read."""

    def __init__(self, thread_count: int, queue_size: int) -> None:
        self._threads = ThreadPoolExecutor(thread_count)
        self._places = threading.Semaphore(thread_count + queue_size)

    def submit(self, task: Callable[[], None]) -> None:
        """Run a task on a thread, now or when a thread is free.

        Raises:
            RejectedError: all threads are busy and the queue is full.
        """
        if not self._places.acquire(blocking=False):
            raise RejectedError
        self._threads.submit(task).add_done_callback(lambda _: self._places.release())
