"""Processes of a peer that are up and connected before the clock starts, as Settle's workers are."""

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
    """One process, which does what it is told, one thing after the other."""

    def __init__(self, target: Callable[..., None], *arguments: Any) -> None:
        self._connection, theirs = multiprocessing.Pipe()
        self._process = multiprocessing.get_context("spawn").Process(target=target, args=(theirs, *arguments))
        self._process.start()
        theirs.close()

    def tell(self, *command: Any) -> None:
        """Tell it to do something."""
        self._connection.send(command)

    def await_done(self, timeout_s: float) -> None:
        """Wait until it has done the last thing that it was told; first of all, until it is ready.

        Raises:
            TimeoutError: it has not.
            EOFError: it ended instead; its stderr says why.
        """
        if not self._connection.poll(timeout_s):
            raise TimeoutError(f"A peer's process has not done what it was told in {timeout_s} s.")
        self._connection.recv()

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.join(_STOP_TIMEOUT_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


@contextmanager
def peer_processes(target: Callable[..., None], *arguments: Any) -> Iterator[list[PeerProcess]]:
    """As many processes as Settle has workers, all ready; `target` gets connection, number and arguments."""
    processes = [PeerProcess(target, number, *arguments) for number in range(WORKER_COUNT)]
    try:
        for process in processes:
            process.await_done(READY_TIMEOUT_S)
        yield processes
    finally:
        for process in processes:
            process.stop()


async def obey(connection: Connection, do: Callable[..., Awaitable[None]]) -> None:
    """Say that this process is ready, then do each thing that it is told, and say so, for ever."""
    collect_garbage_seldom()
    connection.send(None)
    while True:
        await do(*await asyncio.to_thread(connection.recv))
        connection.send(None)
