"""`settle` in a process of its own that is forked from one that has imported it: most commands run shorter than that.

What it does is that of `settle` as it is installed, with the patience of `tests.e2e.patient_settle`.
"""

import multiprocessing
import os
import subprocess
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

_WRITE = os.O_WRONLY | os.O_CREAT
# Not imported here: its patience is for the commands alone.
_PRELOADED = "tests.e2e.preloaded_settle"
_forkserver = multiprocessing.get_context("forkserver")
_forkserver.set_forkserver_preload([_PRELOADED])


def run_settle(
    arguments: Sequence[str], environment: Mapping[str, str], directory: Path, timeout_s: float
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, as `subprocess.run` does without a shell; it has no standard input."""
    with TemporaryDirectory() as outputs:
        stdout, stderr = Path(outputs, "stdout"), Path(outputs, "stderr")
        process = _forkserver.Process(target=_be_settle, args=(arguments, environment, directory, stdout, stderr))
        process.start()
        process.join(timeout_s)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(list(arguments), timeout_s, stdout.read_text(), stderr.read_text())
        return subprocess.CompletedProcess(list(arguments), process.exitcode, stdout.read_text(), stderr.read_text())


def _be_settle(
    arguments: Sequence[str], environment: Mapping[str, str], directory: Path, stdout: Path, stderr: Path
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(directory)
    for number, file, flags in ((0, Path(os.devnull), os.O_RDONLY), (1, stdout, _WRITE), (2, stderr, _WRITE)):
        os.dup2(os.open(file, flags), number)
    import_module(_PRELOADED).be_settle(arguments)
