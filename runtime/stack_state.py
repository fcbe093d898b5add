"""The state file with the addresses of a running embedded stack.

`local_stack` writes the file, and `settings` reads it. Neither imports the other, so production code does not depend
on the embedded stack.
"""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

DEFAULT_STACK_DIR = Path(".settle/stack")
STATE_FILE_NAME = "stack.json"


class StackState(BaseModel):
    """The addresses of one embedded stack."""

    model_config = ConfigDict(frozen=True)

    temporal_address: str
    temporal_ui_url: str
    database_url: str
    kafka_bootstrap_servers: str


def fetch_stack_state(directory: Path = DEFAULT_STACK_DIR) -> StackState | None:
    """Read the state file of the stack in `directory`.

    Returns:
        The addresses. None if no stack was left running there, or its file cannot be read.
    """
    try:
        return StackState.model_validate_json((directory / STATE_FILE_NAME).read_text())
    except (OSError, ValidationError):
        return None
