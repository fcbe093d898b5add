"""`settle` in a process that is forked from one that has imported its modules, which takes longer than most commands.

Its behaviour is that of the installed `settle`.
"""

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from starters.cli import COMMANDS, main
from tests.e2e.patient_settle import be_patient

_WRITE = os.O_WRONLY | os.O_CREAT
_forkserver = multiprocessing.get_context("forkserver")
_forkserver.set_forkserver_preload([__name__, *{f"starters.{place.partition('.')[0]}" for place in COMMANDS.values()}])


def run_settle(
    arguments: Sequence[str], environment: Mapping[str, str], directory: Path, timeout_s: float, *, is_patient: bool
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, like `subprocess.run` without a shell and without standard input.

    Args:
        arguments: the arguments after `settle`.
        environment: the whole environment.
        directory: the working directory.
        timeout_s: when it passes, the process is killed and `subprocess.TimeoutExpired` is raised.
        is_patient: whether to wait for servers as long as a busy machine needs.
    """
    with TemporaryDirectory() as outputs:
        stdout, stderr = Path(outputs, "stdout"), Path(outputs, "stderr")
        command = (is_patient, arguments, environment, directory, stdout, stderr)
        process = _forkserver.Process(target=_be_settle, args=command)
        process.start()
        process.join(timeout_s)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(list(arguments), timeout_s, stdout.read_text(), stderr.read_text())
        return subprocess.CompletedProcess(list(arguments), process.exitcode, stdout.read_text(), stderr.read_text())


def _be_settle(
    is_patient: bool,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    directory: Path,
    stdout: Path,
    stderr: Path,
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(directory)
    for number, file, flags in ((0, Path(os.devnull), os.O_RDONLY), (1, stdout, _WRITE), (2, stderr, _WRITE)):
        os.dup2(os.open(file, flags), number)
    sys.argv = ["settle", *arguments]
    if is_patient:
        be_patient()
    main()
