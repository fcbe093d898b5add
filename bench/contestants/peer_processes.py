"""A peer's processes. Like Settle's workers, they are started and connected before the measured time begins."""

import asyncio
import multiprocessing
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from bench.settlement_run import WORKER_COUNT
from runtime.garbage import collect_garbage_seldom

READY_TIMEOUT_S = 60
_STOP_TIMEOUT_S = 20


class PeerProcess:
    """A process that executes commands one at a time."""

    def __init__(self, target: Callable[..., None], *arguments: Any) -> None:
        self._connection, theirs = multiprocessing.Pipe()
        self._process = multiprocessing.get_context("spawn").Process(target=target, args=(theirs, *arguments))
        self._process.start()
        theirs.close()

    def tell(self, *command: Any) -> None:
        """Send a command to the process."""
        self._connection.send(command)

    def await_done(self, timeout_s: float) -> None:
        """Wait until the process has finished the last command. The first call waits until it is ready.

        Raises:
            TimeoutError: it did not finish in time.
            EOFError: the process ended. Its stderr has the cause.
        """
        if not self._connection.poll(timeout_s):
            raise TimeoutError(f"A peer's process did not finish its command within {timeout_s} s.")
        self._connection.recv()

    def stop(self) -> None:
        """Terminate the process. Kill it if it does not end in time."""
        self._process.terminate()
        self._process.join(_STOP_TIMEOUT_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


@contextmanager
def peer_processes(target: Callable[..., None], *arguments: Any) -> Iterator[list[PeerProcess]]:
    """Run as many processes as Settle has workers, and yield them once all are ready.

    Args:
        target: the function to run in each. It gets a connection, the process's number and `arguments`.
        arguments: passed to `target`.
    """
    processes = [PeerProcess(target, number, *arguments) for number in range(WORKER_COUNT)]
    try:
        for process in processes:
            process.await_done(READY_TIMEOUT_S)
        yield processes
    finally:
        for process in processes:
            process.stop()


async def obey(connection: Connection, do: Callable[..., Awaitable[None]]) -> None:
    """Report that this process is ready, then execute each command and report its end. Never returns."""
    collect_garbage_seldom()
    connection.send(None)
    while True:
        await do(*await asyncio.to_thread(connection.recv))
        connection.send(None)
