"""Server processes that outlive the command that started them.

A server is identified by a file with its process id and start time. The id alone is not enough: after a power cut the
file may name an unrelated process, which must be neither trusted nor killed.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import psutil

from local_stack.errors import StackError
from local_stack.files import write_atomically

_POLL_INTERVAL_S = 0.02
_KILL_TIMEOUT_S = 10.0
# Start times are counted from the boot time, which is reported in whole seconds and may vary by one.
_START_TIME_TOLERANCE_S = 1.5
_LOG_BYTES_MAX = 16 * 1024 * 1024
_LOG_TAIL_LINES = 5
_LOG_TAIL_CHARACTERS = 800

# Started by this interpreter. Kept to reap those that end, which would otherwise remain as zombies.
_children: dict[int, subprocess.Popen[bytes]] = {}


class OsUser(NamedTuple):
    """An operating-system user to run a server as."""

    uid: int
    gid: int


class ServerProcess:
    """One server in the background, with its pid file and its log."""

    def __init__(self, program_name: str, *, working_directory: Path, pid_file: Path, log_file: Path) -> None:
        """Describe the server; nothing is started.

        Args:
            program_name: The name of the executable.
            working_directory: Where the server runs. No other stack may use it: it identifies a server without a
                pid file.
            pid_file: Where the process id is kept.
            log_file: Gets the server's output, appended.
        """
        self.log_file = log_file
        self._program_name = program_name
        self._working_directory = working_directory
        self._pid_file = pid_file
        self._log_start = 0
        self._child: subprocess.Popen[bytes] | None = None

    def start(
        self,
        command: Sequence[str | Path],
        *,
        os_user: OsUser | None = None,
        descriptors: Sequence[int] = (),
    ) -> None:
        """Start the server in a session of its own, after ending processes that an earlier start left behind.

        Args:
            command: The executable and its arguments.
            os_user: The user to run it as; needs root.
            descriptors: File descriptors that it inherits.

        Raises:
            StackError: A process left behind could not be ended.
            OSError: The program could not be started.
        """
        self.end_strays()
        self._rotate_log()
        with self.log_file.open("ab") as log:
            self._log_start = log.tell()
            child = subprocess.Popen(
                command,
                cwd=self._working_directory,
                env=clean_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C at the terminal must not reach the server
                umask=0o077,
                pass_fds=descriptors,
                user=os_user.uid if os_user else None,
                group=os_user.gid if os_user else None,
                extra_groups=[] if os_user else None,
            )
        self._child = _children[child.pid] = child
        write_atomically(self._pid_file, json.dumps({"pid": child.pid, "start_time_s": _start_time_s(child.pid)}))

    def is_running(self) -> bool:
        """Return whether the server that the pid file names is alive."""
        return self._find() is not None

    def send_signal(self, server_signal: signal.Signals) -> None:
        """Send the server a signal if it is running, without waiting.

        Raises:
            StackError: It belongs to another user.
        """
        process = self._find()
        if process is not None:
            _send(process, server_signal)

    def await_stop(self, *, timeout_s: float) -> None:
        """Wait until the server has ended, kill it after the timeout, and remove its pid file.

        Raises:
            StackError: It did not end even when it was killed.
        """
        process = self._find()
        if process is not None and not _ends_within(process, timeout_s):
            _end(process)
        self.end_strays()
        self._pid_file.unlink(missing_ok=True)

    def end_strays(self) -> None:
        """Kill this program's processes in the server's directory. Must not be called while the server runs properly.

        Such a process is a server whose start was interrupted before its pid file was written, one whose directory was
        deleted while it ran, or a child of a killed one.

        Raises:
            StackError: One of them did not end.
        """
        for process in psutil.process_iter(["name", "cwd"]):
            directory = process.info["cwd"]
            if process.info["name"] != self._program_name or not directory:
                continue
            if Path(directory).is_relative_to(self._working_directory):
                _end(process)

    def describe_end(self) -> str:
        """Describe how the process that this object started has ended."""
        code = self._child.poll() if self._child else None
        if code is None:
            return "its process is gone"
        if code < 0:
            return f"its process was ended by signal {-code} ({signal.strsignal(-code)})"
        return f"its process ended with exit code {code}"

    def read_log_tail(self) -> str:
        """Return the last log lines that the server has written since its start, joined into one."""
        try:
            with self.log_file.open("rb") as log:
                log.seek(self._log_start)
                text = log.read(_LOG_BYTES_MAX).decode(errors="replace")
        except OSError:
            return ""
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return " | ".join(lines[-_LOG_TAIL_LINES:])[-_LOG_TAIL_CHARACTERS:]

    def _find(self) -> psutil.Process | None:
        try:
            content = json.loads(self._pid_file.read_text())
            pid, start_time_s = int(content["pid"]), float(content["start_time_s"])
        except (OSError, ValueError, TypeError, KeyError):
            return None
        try:
            process = psutil.Process(pid)
            is_ours = (
                _is_alive(process)
                and process.name() == self._program_name
                and abs(_start_time_s(pid) - start_time_s) < _START_TIME_TOLERANCE_S
            )
        except psutil.Error:
            return None
        return process if is_ours else None

    def _rotate_log(self) -> None:
        if self.log_file.exists() and self.log_file.stat().st_size > _LOG_BYTES_MAX:
            self.log_file.replace(self.log_file.with_name(f"{self.log_file.name}.1"))


def clean_environment() -> dict[str, str]:
    """Return the environment for a server: variables that the caller has set for clients must not configure it."""
    return {"PATH": os.environ.get("PATH", os.defpath), "HOME": os.environ.get("HOME", "/"), "LC_ALL": "C"}


def _start_time_s(pid: int) -> float:
    # Since boot rather than since 1970, which changes when the clock is corrected.
    return psutil.Process(pid).create_time() - psutil.boot_time()


def _is_alive(process: psutil.Process) -> bool:
    child = _children.get(process.pid)
    if child is not None and child.poll() is not None:
        del _children[process.pid]
    try:
        # A killed process is reported as a zombie while its other threads still hold its ports.
        return process.is_running() and (process.status() != psutil.STATUS_ZOMBIE or process.num_threads() > 1)
    except psutil.NoSuchProcess:
        return False


def _ends_within(process: psutil.Process, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while _is_alive(process):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_INTERVAL_S)
    return True


def _end(process: psutil.Process) -> None:
    _send(process, signal.SIGKILL)
    if not _ends_within(process, _KILL_TIMEOUT_S):
        raise StackError(
            f"Process {process.pid} of the embedded stack was killed but did not end within "
            f"{_KILL_TIMEOUT_S:.0f} s. Look at it with `ps -p {process.pid}`, then try again."
        )


def _send(process: psutil.Process, server_signal: signal.Signals) -> None:
    try:
        process.send_signal(server_signal)
    except psutil.NoSuchProcess:
        return
    except psutil.AccessDenied as error:
        raise StackError(
            f"Process {process.pid} of the embedded stack belongs to another user and cannot be stopped. "
            "Run the command as the user who started the stack."
        ) from error
