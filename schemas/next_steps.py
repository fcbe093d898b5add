"""The next step for a user, as data. Each user interface words it for its users."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class NextStepKind(StrEnum):
    """The kind of a next step. `NextStep.subject` names its batch or order, if it has one."""

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
    """A next step, and the id of its batch or order. The id is empty if the step concerns neither."""

    model_config = ConfigDict(frozen=True)

    kind: NextStepKind
    subject: str = ""


AUDIT = NextStep(kind=NextStepKind.AUDIT)
MIGRATE = NextStep(kind=NextStepKind.MIGRATE)
START_STACK = NextStep(kind=NextStepKind.START_STACK)
