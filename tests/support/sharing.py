"""What several test processes share: a lock between them, and servers that the first starts and the last stops."""

import fcntl
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def exclusive(lock_file: Path) -> Iterator[None]:
    """Be the only process here."""
    with lock_file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def shared(directory: Path, user: str, *, start: Callable[[], None], stop: Callable[[], None]) -> Iterator[None]:
    """Have servers started by their first user, and stopped by the last, who removes their folder.

    Args:
        directory: Theirs. The lock is beside it, since a folder that is removed takes its lock with it.
        user: The name of this process.
        start: Called once for all users.
        stop: Also called when `start` fails.
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
