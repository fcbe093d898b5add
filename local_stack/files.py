"""Writing small files that a power cut must not leave half written."""

import os
from pathlib import Path


def write_atomically(path: Path, text: str) -> None:
    """Replace the file's content. A reader sees the old text or the new one, even after a power cut."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with draft.open("w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(path)
