"""`settle` for a shell, forked from a process that has imported its modules, which takes longer than most commands.

`served_settle` yields a folder for the PATH. Its `settle` passes its arguments, environment and standard files to the
server and exits with the command's exit code. It forwards SIGINT and SIGTERM to the command.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.documented import COLUMNS

ROOT = Path(__file__).parents[2]
SOCKET_NAME = "socket"

CLIENT = """#!{python} -SE
import array, json, os, signal, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
request = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
files = array.array("i", (0, 1, 2))
server.sendmsg([len(request).to_bytes(4)], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, files)])
server.sendall(request)
answers = server.makefile()
pid = int(answers.readline())
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, _: os.kill(pid, number))
os._exit(int(answers.readline() or 1) % 256)
"""


@contextmanager
def served_settle(directory: Path) -> Iterator[Path]:
    """Start the server and yield a folder with a `settle` that it serves."""
    address = directory / SOCKET_NAME
    client = directory / "settle"
    client.write_text(CLIENT.format(python=sys.executable, address=str(address)))
    client.chmod(0o755)
    command = [sys.executable, "-m", "tests.docs.settle_server", str(address)]
    # The commands read the width when they are imported.
    environment = {**os.environ, "COLUMNS": str(COLUMNS)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, start_new_session=True) as server:
        try:
            assert server.stdout
            assert server.stdout.readline() == b"ready\n"
            yield directory
        finally:
            os.killpg(server.pid, signal.SIGKILL)  # with the commands that a failed page left running


def serve(address: str) -> None:
    """Fork a process for each connection until the server is killed."""
    from starters.cli import COMMANDS

    for module in {place.partition(".")[0] for place in COMMANDS.values()}:
        __import__(f"starters.{module}")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(64)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    os.write(sys.stdout.fileno(), b"ready\n")
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            _answer(connection)
            os._exit(0)
        connection.close()


def _answer(connection: socket.socket) -> None:
    """Fork the command and send the client its pid, then its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    size, files, *_ = socket.recv_fds(connection, 4, 3)
    arguments, directory, environment = json.loads(connection.makefile("rb").read(int.from_bytes(size)))
    pid = os.fork()
    if pid == 0:
        connection.close()
        for number, file in enumerate(files):
            os.dup2(file, number)
        os.chdir(directory)
        os.environ.clear()
        os.environ.update(environment)
        _be_settle(arguments)
    for file in files:
        os.close(file)
    connection.sendall(f"{pid}\n".encode())
    _, status = os.waitpid(pid, 0)
    connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())


def _be_settle(arguments: list[str]) -> None:
    from starters.cli import main
    from tests.e2e.patient_settle import be_patient

    sys.argv = ["settle", *arguments]
    sys.modules["__main__"].__package__ = None  # otherwise a command would show this module's name as its own
    be_patient()
    try:
        main()
    finally:
        traceback.print_exc()
        os._exit(1)  # never return to the server's loop


if __name__ == "__main__":
    serve(sys.argv[1])
