"""What the processes of `tests.e2e.forked_settle` are forked from: all of `settle`, imported once."""

from starters.cli import build_app
from tests.e2e.patient_settle import be_settle

__all__ = ["be_settle"]

build_app()
