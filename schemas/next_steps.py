"""What to do next, as data: whoever shows an error or an answer words it for its own user."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class NextStepKind(StrEnum):
    """What helps; of a batch or an order where `NextStep.subject` names one."""

    AUDIT = "audit"
    LIST_BATCHES = "list_batches"
    SHOW_BATCH = "show_batch"
    WATCH_BATCH = "watch_batch"
    RERUN_BATCH = "rerun_batch"
    REPAIR_RECORD = "repair_record"
    MIGRATE = "migrate"
    START_STACK = "start_stack"
    START_WORKER = "start_worker"


class NextStep(BaseModel):
    """One step, and the id of what it is about; empty if it is about nothing in particular."""

    model_config = ConfigDict(frozen=True)

    kind: NextStepKind
    subject: str = ""


AUDIT = NextStep(kind=NextStepKind.AUDIT)
MIGRATE = NextStep(kind=NextStepKind.MIGRATE)
START_STACK = NextStep(kind=NextStepKind.START_STACK)
