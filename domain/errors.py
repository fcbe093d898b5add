"""Settle's own errors.

    SettleError
    ├── InvariantViolationError   the data contradict an invariant: stop, keep the evidence, call a person
    ├── BatchNotFoundError        no batch has this id
    ├── BatchNotOpenError         an append or a freeze came after the batch was frozen
    ├── BatchMismatchError        a batch with this id exists with other parameters
    ├── TooManyBatchesError       no more batches may be open or running; try again when one is closed
    ├── BatchPrunedError          the batch's items are pruned, or about to be
    ├── ControlRefusedError       a pause, resume, abort or window makes no sense in the batch's state
    ├── AccountNotFoundError      the Fund Platform has no such account
    ├── SettingsError             a setting is malformed
    ├── WrongCallError            a command was called with values that make no sense
    ├── ChunkUnfinishedError      a chunk has no result yet; ask again
    └── UnavailableError          a server could not be reached, or its schema is not up to date

Retrying helps against the last two and TooManyBatchesError; activities raise the others as non-retryable.
"""


class SettleError(Exception):
    """Base of all errors that Settle raises; its message says what was tried, what happened, what to do."""


class InvariantViolationError(SettleError):
    """The data contradict an invariant of the design."""


class BatchNotFoundError(SettleError):
    """No batch has this id."""


class BatchNotOpenError(SettleError):
    """The batch takes no more orders."""


class BatchMismatchError(SettleError):
    """A batch with this id exists with other parameters."""


class TooManyBatchesError(SettleError):
    """As many batches as may be are open, frozen or running."""


class BatchPrunedError(SettleError):
    """The batch's items are pruned, or about to be."""


class ControlRefusedError(SettleError):
    """A pause, resume, abort or window makes no sense in the batch's state."""


class AccountNotFoundError(SettleError):
    """The Fund Platform has no such account."""


class SettingsError(SettleError):
    """A setting is malformed."""


class WrongCallError(SettleError):
    """A command was called with values that make no sense."""


class ChunkUnfinishedError(SettleError):
    """The chunk has no result yet."""


class UnavailableError(SettleError):
    """Something needed could not be reached, or is not ready."""
