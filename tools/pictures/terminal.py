"""What a command shows on a terminal, as HTML."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Sequence
from io import StringIO

from rich.console import Console
from rich.text import Text

_COLUMN_COUNT = 104
_ROW_COUNT = 30
_READ_BYTES = 65_536
# Before each new frame a live display erases the lines of the one before.
_NEW_FRAME = re.compile(r"(?:\r?\x1b\[[12]K(?:\x1b\[1A)?)+|\x1b\[\?25[lh]")


def last_frame(command: Sequence[str], until: str, timeout_s: float) -> str:
    """Run a command on a terminal of its own until it shows a word, and interrupt it.

    Returns:
        The last frame, with its colours as ANSI codes.
    """
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", _ROW_COUNT, _COLUMN_COUNT, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(_COLUMN_COUNT)}
    process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environment)
    os.close(slave)
    shown = b""
    deadline = time.monotonic() + timeout_s
    try:
        while until not in shown.decode() and time.monotonic() < deadline:
            shown += os.read(master, _READ_BYTES)
    except OSError:  # the command has ended
        pass
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()
        os.close(master)
    frames = [frame.strip("\r\n") for frame in _NEW_FRAME.split(shown.decode())]
    return [frame for frame in frames if frame][-1]


def as_html(lines: Sequence[str]) -> str:
    """Return lines with ANSI codes as HTML, the colours inline."""
    console = Console(record=True, width=_COLUMN_COUNT, file=StringIO(), force_terminal=True)
    for line in lines:
        console.print(Text.from_ansi(line), soft_wrap=True)
    return console.export_html(inline_styles=True, code_format="<pre>{code}</pre>")
