"""The package `settle` of an installation: it holds the rooms and starts the commands.

The wheel has this file as `settle/__init__.py` and the rooms as folders beside it. Other programs of the same
environment cannot import `domain` or `database`, because only this process has that folder on its path
(decision 0032).
"""

import sys
from pathlib import Path


def main() -> None:
    """Run a command with the rooms first on the path.

    A child process does not inherit this path. Settle starts no Python interpreter.
    """
    sys.path.insert(0, str(Path(__file__).parent))
    from starters.cli import main as run_command

    run_command()
