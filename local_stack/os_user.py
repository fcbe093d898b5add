"""The system user that PostgreSQL runs as when the stack is started by root.

PostgreSQL refuses to run as root, so a system user is created for it once. That user may have no access to the
directories above the stack or above the programs (a checkout below `/root`, a `mktemp -d`). Their permissions are not
changed. Instead, the server inherits its own directory as an open file descriptor and reaches its files through it.
Programs that it cannot reach are copied to a place that it can.
"""

import os
import pwd
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from local_stack.errors import StackError
from local_stack.processes import OsUser, clean_environment

_USER_NAME = "settle-postgres"
_USERADD_TRIES_MAX = 20
_USERADD_PAUSE_S = 0.1
_PROGRAM_TIMEOUT_S = 30.0
PROGRAM_CACHE = Path("/var/cache/settle")
_READ_BY_ALL = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH
_ENTER_BY_ALL = stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH


class OpenDirectory(NamedTuple):
    """A directory as a server sees it."""

    path: Path
    """Its path for the server, which works whatever the permissions of the directories above it."""
    descriptors: tuple[int, ...]
    """The file descriptors that the server must inherit for this path to work."""


def runs_as_root() -> bool:
    """Return whether this process runs as root."""
    return os.geteuid() == 0


def provide_database_user() -> OsUser | None:
    """Return the system user for PostgreSQL, or None to run it as the current user, who is not root.

    Raises:
        StackError: The user was missing and could not be created.
    """
    if not runs_as_root():
        return None
    reason = ""
    for _ in range(_USERADD_TRIES_MAX):
        user = _find_user()
        if user is not None:
            return user
        reason = _add_user()
        time.sleep(_USERADD_PAUSE_S)  # another stack may be starting concurrently and creating the user
    raise StackError(
        f"postgresql did not come up: it must not run as root, and the system user {_USER_NAME} could not be "
        f"created: {reason}. Start the stack as a normal user, or create that user and try again."
    )


@contextmanager
def opened_for(user: OsUser | None, directory: Path) -> Iterator[OpenDirectory]:
    """Give a directory to the user and open it, to let a server of that user reach it.

    A process can reach a directory that it holds open (`/proc/self/fd/N`) without any permission on those above.
    Granting permissions on these instead would not suffice: PostgreSQL uses the path of its data as long as it runs, at
    every checkpoint too, and a later `chmod` may revoke them.

    Raises:
        StackError: The directory belongs to another user.
    """
    if user is None:
        yield OpenDirectory(directory, ())
        return
    owner = directory.stat().st_uid
    if owner not in (os.geteuid(), user.uid):
        raise StackError(
            f"postgresql did not come up: {directory} belongs to the user with the id {owner}, and root "
            "cannot run the stack there. Start it as that user, or name another directory with `--dir`."
        )
    os.chown(directory, user.uid, user.gid)
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    try:
        yield OpenDirectory(Path(f"/proc/self/fd/{descriptor}"), (descriptor,))
    finally:
        os.close(descriptor)


def provide_program(user: OsUser | None, program: Path, package: str) -> Path:
    """Return a path of the package's program that the user can run. Copy the package if necessary.

    Raises:
        StackError: The user cannot run the copy either.
        OSError: The copy could not be written.
    """
    if user is None or _find_obstacle(user, program) is None:
        return program
    site_packages = Path(str(metadata.distribution(package).locate_file(""))).resolve()
    copy = PROGRAM_CACHE / f"{package}-{metadata.version(package)}"
    if not copy.exists():
        _copy_package(site_packages, program.relative_to(site_packages).parts[0], copy)
    copied_program = copy / program.relative_to(site_packages)
    obstacle = _find_obstacle(user, copied_program)
    if obstacle is None:
        return copied_program
    raise StackError(
        f"postgresql did not come up: started by root, it runs as the system user {_USER_NAME}, who can run "
        f"neither {program} nor its copy {copied_program}: {obstacle}. Start the stack as a normal user."
    )


def _find_user() -> OsUser | None:
    try:
        entry = pwd.getpwnam(_USER_NAME)
    except KeyError:
        return None
    return OsUser(entry.pw_uid, entry.pw_gid)


def _add_user() -> str:
    """Try to create the user. Return why that failed, or an empty text."""
    program = shutil.which("useradd") or "/usr/sbin/useradd"
    try:
        result = subprocess.run(
            [program, "--system", "--user-group", "--no-create-home", "--shell", "/bin/false", _USER_NAME],
            capture_output=True,
            text=True,
            timeout=_PROGRAM_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return result.stderr.strip()


def _find_obstacle(user: OsUser, program: Path) -> str | None:
    """Return why the user cannot run the program, or None."""
    try:
        result = subprocess.run(
            [program, "--version"],
            cwd="/",
            env=clean_environment(),
            capture_output=True,
            text=True,
            timeout=_PROGRAM_TIMEOUT_S,
            user=user.uid,
            group=user.gid,
            extra_groups=[],
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None if result.returncode == 0 else result.stderr.strip() or f"exit code {result.returncode}"


def _copy_package(site_packages: Path, module: str, target: Path) -> None:
    """Copy a package and its libraries, readable by all. The copy appears atomically."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as draft_name:
        draft = Path(draft_name) / target.name
        for source in (site_packages / module, site_packages / f"{module}.libs"):
            if source.exists():
                shutil.copytree(source, draft / source.name, ignore=shutil.ignore_patterns("include"))
        for path in (draft, *draft.rglob("*")):
            mode = stat.S_IMODE(path.stat().st_mode) | _READ_BY_ALL
            path.chmod(mode | _ENTER_BY_ALL if mode & stat.S_IXUSR else mode)
        try:
            draft.rename(target)
        except OSError:
            if not target.exists():  # otherwise a concurrently starting stack was faster
                raise
