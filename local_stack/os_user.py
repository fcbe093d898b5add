"""The system user that PostgreSQL runs as when the stack is started by root.

PostgreSQL refuses to run as root. A system user of its own is made once. It must reach the data and the
programs, although directories above them may be closed to it (a checkout below `/root`, a `mktemp -d`). They
are not opened to everybody: that one user is given the right to pass through, by an access control list.
"""

import errno
import os
import pwd
import shutil
import stat
import struct
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from local_stack.errors import StackError
from local_stack.processes import OsUser, clean_environment

_USER_NAME = "settle-postgres"
_USERADD_TRIES = 20
_USERADD_PAUSE_S = 0.1
_PROGRAM_TIMEOUT_S = 30.0
_ADVICE = "start the stack as a normal user, or in a directory that other users may enter (`--dir`)"

# The layout of the extended attribute: linux/posix_acl_xattr.h.
_ACL_ATTRIBUTE = "system.posix_acl_access"
_ACL_VERSION = 2
_ACL_HEADER = struct.Struct("<I")
_ACL_ENTRY = struct.Struct("<HHI")  # tag, permissions, id
_NO_ID = 0xFFFFFFFF
_OWNER, _USER, _GROUP, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x10, 0x20
_SEARCH = 0x1

_AclEntry = tuple[int, int, int]


def runs_as_root() -> bool:
    """Tell whether this process is root."""
    return os.geteuid() == 0


def provide_database_user() -> OsUser:
    """Return the system user for PostgreSQL; makes it when it is missing.

    Raises:
        StackError: It could not be made.
    """
    for _ in range(_USERADD_TRIES):
        user = _find_user()
        if user is not None:
            return user
        reason = _add_user()
        time.sleep(_USERADD_PAUSE_S)  # two stacks starting at once: the other one may be making it
    raise StackError(
        f"postgresql did not come up: it must not run as root, and the system user {_USER_NAME} could not be "
        f"made ({reason}): start the stack as a normal user, or make that user and try again."
    )


def let_user_run(user: OsUser, *, program: Path, directories: Sequence[Path]) -> None:
    """Give the user the directories (where root has just made them) and the way to them and to the program.

    Raises:
        StackError: The user still cannot run the program or enter a directory.
    """
    for path in (program, *directories):
        _open_way(path, user)
    for directory in directories:
        if directory.stat().st_uid == os.geteuid():
            os.chown(directory, user.uid, user.gid)
        _try_as(user, ["/bin/sh", "-c", 'cd "$1"', "sh", directory], f"enter {directory}")
    _try_as(user, [program, "--version"], f"run {program}")


def _find_user() -> OsUser | None:
    try:
        entry = pwd.getpwnam(_USER_NAME)
    except KeyError:
        return None
    return OsUser(entry.pw_uid, entry.pw_gid)


def _add_user() -> str:
    """Try to make the user; returns why it failed, if it did."""
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


def _try_as(user: OsUser, command: Sequence[str | Path], purpose: str) -> None:
    try:
        result = subprocess.run(
            command,
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
        reason = "" if result.returncode == 0 else result.stderr.strip() or f"exit code {result.returncode}"
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = str(error)
    if reason:
        raise StackError(
            f"postgresql did not come up: started by root it runs as the system user {_USER_NAME}, who cannot "
            f"{purpose} ({reason}): {_ADVICE}."
        )


def _open_way(path: Path, user: OsUser) -> None:
    """Let the user pass through every directory above the path that is closed to others."""
    for directory in reversed(path.parents):
        status = directory.stat()
        if status.st_uid != user.uid and not status.st_mode & stat.S_IXOTH:
            _allow_search(directory, user.uid)


def _allow_search(directory: Path, uid: int) -> None:
    entries = _read_acl(directory)
    # The mask bounds what a named user has; a chmod of the group's rights changes it.
    masks = [allowed for tag, allowed, _ in entries if tag == _MASK]
    mask = masks[0] if masks else next(allowed for tag, allowed, _ in entries if tag == _GROUP)
    if any((tag, holder) == (_USER, uid) and allowed & mask & _SEARCH for tag, allowed, holder in entries):
        return
    kept = [entry for entry in entries if (entry[0], entry[2]) != (_USER, uid) and entry[0] != _MASK]
    granted = [*kept, (_USER, _SEARCH, uid), (_MASK, mask | _SEARCH, _NO_ID)]
    granted.sort(key=lambda entry: (entry[0], entry[2]))
    content = _ACL_HEADER.pack(_ACL_VERSION) + b"".join(_ACL_ENTRY.pack(*entry) for entry in granted)
    try:
        os.setxattr(directory, _ACL_ATTRIBUTE, content)
    except OSError as error:
        raise StackError(
            f"postgresql did not come up: started by root it runs as the system user {_USER_NAME}, who may not "
            f"pass through {directory}, and could not be given that right ({error.strerror}): {_ADVICE}."
        ) from error


def _read_acl(directory: Path) -> list[_AclEntry]:
    try:
        content = os.getxattr(directory, _ACL_ATTRIBUTE)
    except OSError as error:
        if error.errno not in (errno.ENODATA, errno.ENOTSUP):
            raise
        mode = directory.stat().st_mode
        return [
            (_OWNER, mode >> 6 & 7, _NO_ID),
            (_GROUP, mode >> 3 & 7, _NO_ID),
            (_OTHER, mode & 7, _NO_ID),
        ]
    return list(_ACL_ENTRY.iter_unpack(content[_ACL_HEADER.size :]))
