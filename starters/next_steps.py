"""Next steps, worded as commands of `settle`."""

from types import MappingProxyType

from domain.errors import SettleError
from schemas.next_steps import NextStep, NextStepKind

_SENTENCES = MappingProxyType(
    {
        NextStepKind.AUDIT: "Run: settle audit",
        NextStepKind.LIST_BATCHES: "List the batches with: settle batches",
        NextStepKind.SHOW_BATCH: "See: settle status {subject}",
        NextStepKind.WATCH_BATCH: "Follow it with: settle watch {subject}",
        NextStepKind.RERUN_BATCH: "Run: settle rerun {subject}",
        NextStepKind.REPAIR_RECORD: "Load the repaired record with: settle import",
        NextStepKind.MIGRATE: "Bring it up to date with: settle migrate",
        NextStepKind.START_STACK: "Or start the embedded stack with: settle stack up",
        NextStepKind.START_WORKER: "Start one with: settle worker",
    }
)


def word_next_step(step: NextStep) -> str:
    """Return the command that takes a step, in a sentence."""
    return _SENTENCES[step.kind].format(subject=step.subject)


def word_error(error: SettleError) -> str:
    """Return an error's message, followed by the command that helps, if there is one."""
    return f"{error} {word_next_step(error.next_step)}" if error.next_step else str(error)
