"""Free TCP ports, stored so that a stack keeps its addresses when it is started again."""

import json
import secrets
import socket
from collections.abc import Collection
from pathlib import Path

from local_stack.errors import StackError
from local_stack.files import write_atomically

LOOPBACK = "127.0.0.1"
# Below the ports that systems use for outgoing connections (Linux: from 32768). A client's connection therefore does
# not take the port before the stack starts again.
_PORT_FIRST = 20_000
_PORT_LAST = 32_767
_TRIES_MAX = 200


class PortBook:
    """The ports of one stack by name, in a file that is read at each call, since another process may write it."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def reserve(self, name: str) -> int:
        """Return the stored port if it is free. Otherwise find a free one and store it.

        Nothing holds the port until the server listens on it. A server that loses this race dies and is started again
        with another port.

        Raises:
            StackError: No free port was found.
        """
        ports = _read_ports(self._file)
        port = ports.get(name)
        if port is None or not is_port_free(port):
            port = _find_free_port(taken=ports.values())
            write_atomically(self._file, json.dumps(ports | {name: port}))
        return port

    def fetch(self, name: str) -> int | None:
        """Return the stored port, or None if there is none."""
        return _read_ports(self._file).get(name)

    def is_taken(self, *names: str) -> bool:
        """Return whether something listens on one of these ports."""
        ports = _read_ports(self._file)
        return any(name in ports and not is_port_free(ports[name]) for name in names)


def is_port_free(port: int) -> bool:
    """Return whether a server could listen on this loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: connections of a server that has just ended do not block its port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen()
        except OSError:
            return False
        return True


def accepts_connections(port: int, *, timeout_s: float = 2.0) -> bool:
    """Return whether something listens on this loopback port."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=timeout_s):
            return True
    except OSError:
        return False


def _find_free_port(*, taken: Collection[int]) -> int:
    for _ in range(_TRIES_MAX):
        # Not `random`: test tools give processes the same seed, and these would race for the same ports.
        port = _PORT_FIRST + secrets.randbelow(_PORT_LAST - _PORT_FIRST + 1)
        if port not in taken and is_port_free(port):
            return port
    raise StackError(
        f"No free TCP port was found on {LOOPBACK} in {_TRIES_MAX} tries between {_PORT_FIRST} and "
        f"{_PORT_LAST}. Stop the programs that listen there and try again."
    )


def _read_ports(file: Path) -> dict[str, int]:
    try:
        content = json.loads(file.read_text())
    except (OSError, ValueError):  # missing, or damaged by a power cut: new ports do no harm
        return {}
    if not isinstance(content, dict):
        return {}
    return {name: port for name, port in content.items() if isinstance(port, int)}
