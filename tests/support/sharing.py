"""Sharing between test processes: a lock, and servers that the first user starts and the last one stops."""

import fcntl
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def exclusive(lock_file: Path) -> Iterator[None]:
    """Hold a lock that only one process can hold."""
    with lock_file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def shared(directory: Path, user: str, *, start: Callable[[], None], stop: Callable[[], None]) -> Iterator[None]:
    """Start servers for their first user. Stop them and remove their folder after the last user.

    Args:
        directory: The servers' folder. The lock is beside it, because the folder is removed.
        user: The name of this process.
        start: Called once for all users.
        stop: Also called if `start` fails.
    """
    lock_file = directory.with_name(f"{directory.name}.lock")
    mark = directory / f"user-{user}"

    def leave() -> None:
        mark.unlink(missing_ok=True)
        if not list(directory.glob("user-*")):
            stop()
            shutil.rmtree(directory, ignore_errors=True)

    with exclusive(lock_file):
        directory.mkdir(exist_ok=True)
        is_first = not list(directory.glob("user-*"))
        mark.touch()
        try:
            if is_first:
                start()
        except BaseException:
            leave()
            raise
    try:
        yield
    finally:
        with exclusive(lock_file):
            leave()
