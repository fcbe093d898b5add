"""Settle's own errors.

    SettleError
    ├── InvariantViolationError   the data contradict an invariant: stop, keep the evidence, call a person
    ├── BatchNotFoundError        no batch has this id
    ├── BatchNotOpenError         an append or a freeze came after the batch was frozen
    ├── BatchMismatchError        a batch with this id exists with other parameters
    ├── CutoffAheadError          a batch's cutoff is in the future by the settlement store's clock
    ├── TooManyBatchesError       the limit of unclosed batches is reached: retry when one is closed
    ├── BatchPrunedError          the batch's items are pruned, or about to be
    ├── ControlRefusedError       a pause, resume, abort or window is invalid, or impossible in the batch's state
    ├── AccountNotFoundError      the Fund Platform has no such account
    ├── SettingsError             a setting is malformed
    ├── WrongCallError            a command was called with invalid values
    ├── ChunkDataError            a chunk's step fails because of some items' data or a bug: isolate these items
    ├── OffersRefusedError        the settlement store cannot take an offered order: find it by bisection
    ├── UnansweredForTooLongError the Fund Platform did not answer within the credit deadline
    ├── ChunkUnfinishedError      a chunk has no result yet: ask again
    ├── UnavailableError          a system is unreachable or not ready, and the call had no effect
    ├── UnansweredError           a system did not answer, and the call may have had its effect
    │   └── CreditsUnansweredError    the Fund Platform did not answer requests for credits
    ├── DataError                 a system cannot take or read these data until they are repaired
    └── NotSupportedError         a system does not support this operation

Ports raise UnavailableError, UnansweredError, DataError and NotSupportedError (see their docstrings). A retry can help
against ChunkUnfinishedError, UnavailableError, UnansweredError, TooManyBatchesError and, after a repair of the data,
DataError. Activities raise the others as non-retryable.
"""

from schemas.next_steps import NextStep


class SettleError(Exception):
    """Base of all errors that Settle raises.

    Args:
        message: what was tried, what happened and what to do, in words that suit a terminal and a browser.
        next_step: the step in Settle that helps. The user interface words it for its users.
    """

    def __init__(self, message: str = "", next_step: NextStep | None = None) -> None:
        super().__init__(message)
        self.next_step = next_step


class InvariantViolationError(SettleError):
    """Raised when the data contradict an invariant of the design."""


class BatchNotFoundError(SettleError):
    """Raised when no batch has the given id."""


class BatchNotOpenError(SettleError):
    """Raised when a batch takes no more orders."""


class BatchMismatchError(SettleError):
    """Raised when a batch with the same id exists with other parameters."""


class CutoffAheadError(SettleError):
    """Raised when a batch's cutoff is further in the future than clocks differ, by the settlement store's clock."""


class TooManyBatchesError(SettleError):
    """Raised when the limit of unclosed batches is reached."""


class BatchPrunedError(SettleError):
    """Raised when a batch's items are pruned, or about to be."""


class ControlRefusedError(SettleError):
    """Raised when a pause, resume, abort or window is invalid, or impossible in the batch's state."""


class AccountNotFoundError(SettleError):
    """Raised when the Fund Platform has no such account."""


class SettingsError(SettleError):
    """Raised when a setting is malformed."""


class WrongCallError(SettleError):
    """Raised when a command was called with invalid values."""


class ChunkDataError(SettleError):
    """Raised when a step over items fails, and will fail until their data or the code change.

    Its `__cause__` is the original error.

    Args:
        detail: what happened, for people to read.
        item_start: the first item (inclusive).
        item_end: the end of the items (exclusive).
    """

    def __init__(self, detail: str, item_start: int, item_end: int) -> None:
        super().__init__(f"Items {item_start} to {item_end - 1}, or some of them, cannot be processed: {detail}")
        self.detail = detail
        self.item_start = item_start
        self.item_end = item_end


class OffersRefusedError(SettleError):
    """Raised when the settlement store refuses one or more of the first `offer_count` offers. It took in none of them.

    Args:
        offer_count: how many offers the refused call had.
        reason: the store's message.
    """

    def __init__(self, offer_count: int, reason: str) -> None:
        super().__init__(reason)
        self.offer_count = offer_count


class UnansweredForTooLongError(SettleError):
    """Raised when the Fund Platform does not answer within the credit deadline. The credits may exist."""


class ChunkUnfinishedError(SettleError):
    """Raised when a chunk has no result yet."""


class UnavailableError(SettleError):
    """Raised when a system is unreachable or not ready. The call certainly had no effect."""


class UnansweredError(SettleError):
    """Raised when a system does not answer. The call may have had its effect."""


class CreditsUnansweredError(UnansweredError):
    """Raised when the Fund Platform does not answer requests for credits. The credits may exist.

    The credit deadline bounds the retries of this error alone: no other missing answer leaves a credit unknown.
    """


class DataError(SettleError):
    """Raised when a system cannot take or read data. The call had no effect and fails again until they are repaired."""


class NotSupportedError(SettleError):
    """Raised when a system does not support an operation."""
