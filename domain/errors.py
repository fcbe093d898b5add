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
    ├── ChunkDataError            the data of a chunk's items, or a bug that they meet, made its step fail: isolate them
    ├── OffersRefusedError        the settlement store cannot take an order that was offered: find it by halves
    ├── CreditsUnansweredError    the Fund Platform gave no answer to requests for credits: an `UnansweredError`
    ├── UnansweredForTooLongError the Fund Platform gave no answer for as long as it is asked
    ├── ChunkUnfinishedError      a chunk has no result yet; ask again
    ├── UnavailableError          a system could not be reached, or is not ready; what was asked had no effect
    ├── UnansweredError           a system gave no answer; what was asked of it may have had its effect
    ├── DataError                 a system cannot take or read these data; it comes again until they are repaired
    └── NotSupportedError         a system cannot do this at all

The last four are how ports fail (see their docstrings). Retrying helps against ChunkUnfinishedError, UnavailableError,
UnansweredError, TooManyBatchesError and, once somebody has repaired the data, DataError; activities raise the others as
non-retryable.
"""

from schemas.next_steps import NextStep


class SettleError(Exception):
    """Base of all errors that Settle raises.

    Args:
        message: what was tried, what happened, and what to do in words that hold at a terminal and in a browser.
        next_step: the step of Settle's own that helps; whoever shows the error words it for its own user.
    """

    def __init__(self, message: str = "", next_step: NextStep | None = None) -> None:
        super().__init__(message)
        self.next_step = next_step


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


class ChunkDataError(SettleError):
    """A step over items fails as long as their data or the code stay as they are; its cause is the error itself.

    Args:
        detail: what happened, for people to read.
        item_start: the first of the items.
        item_end: after the last of the items.
    """

    def __init__(self, detail: str, item_start: int, item_end: int) -> None:
        super().__init__(f"Items {item_start} to {item_end - 1}, or some of them, cannot be processed: {detail}")
        self.detail = detail
        self.item_start = item_start
        self.item_end = item_end


class OffersRefusedError(SettleError):
    """The settlement store cannot take the first of the offers, or one of them; nothing was taken in.

    Args:
        offer_count: how many they are.
        reason: what the store said.
    """

    def __init__(self, offer_count: int, reason: str) -> None:
        super().__init__(reason)
        self.offer_count = offer_count


class UnansweredForTooLongError(SettleError):
    """The Fund Platform gave no answer for as long as it is asked; what was requested may exist."""


class ChunkUnfinishedError(SettleError):
    """The chunk has no result yet."""


class UnavailableError(SettleError):
    """Something needed could not be reached, or is not ready; what was asked of it certainly had no effect."""


class UnansweredError(SettleError):
    """A system gave no answer; what was asked of it may have had its effect."""


class CreditsUnansweredError(UnansweredError):
    """The Fund Platform gave no answer to requests for credits; what was requested may exist.

    Of another system's silence nothing can be said about credits: only this one is bounded by their deadline.
    """


class DataError(SettleError):
    """A system cannot take or read these data: the same call fails again until somebody repairs them; no effect."""


class NotSupportedError(SettleError):
    """A system cannot do this at all."""
