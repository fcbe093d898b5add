"""The outcomes of items, and the reasons that finance people read."""

from enum import StrEnum
from types import MappingProxyType


class Outcome(StrEnum):
    """The outcome of an item. An item without one is pending."""

    SETTLED = "settled"
    REJECTED = "rejected"
    FAILED = "failed"
    HELD = "held"


# They release the order's claim. The order may come in again from any source.
RELEASING_OUTCOMES = frozenset({Outcome.REJECTED, Outcome.FAILED})


class ReasonCode(StrEnum):
    """The reason why an item is not settled. `domain.order_rules` has the order of the rules."""

    ORDER_UNKNOWN = "ORDER_UNKNOWN"
    ACCOUNT_DIFFERS = "ACCOUNT_DIFFERS"
    AMOUNT_DIFFERS = "AMOUNT_DIFFERS"
    CURRENCY_DIFFERS = "CURRENCY_DIFFERS"
    ORDER_CANCELLED = "ORDER_CANCELLED"
    ORDER_UNPAID = "ORDER_UNPAID"
    ORDER_DISPUTED = "ORDER_DISPUTED"
    REFUND_IN_PROGRESS = "REFUND_IN_PROGRESS"
    AFTER_SALE_NOT_OVER = "AFTER_SALE_NOT_OVER"
    FULLY_REFUNDED = "FULLY_REFUNDED"
    AMOUNT_NOT_POSITIVE = "AMOUNT_NOT_POSITIVE"
    AMOUNT_OVER_LIMIT = "AMOUNT_OVER_LIMIT"
    ACCOUNT_NOT_FOUND = "ACCOUNT_NOT_FOUND"
    ACCOUNT_CLOSED = "ACCOUNT_CLOSED"
    ACCOUNT_CURRENCY_DIFFERS = "ACCOUNT_CURRENCY_DIFFERS"
    DATA_ERROR = "DATA_ERROR"
    PAYLOAD_CONFLICT = "PAYLOAD_CONFLICT"
    OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN"
    NOT_ATTEMPTED = "NOT_ATTEMPTED"


REASON_SENTENCES = MappingProxyType(
    {
        ReasonCode.ORDER_UNKNOWN: "The Order Center has no record of this order.",
        ReasonCode.ACCOUNT_DIFFERS: "The announced account is not the account on the order's record.",
        ReasonCode.AMOUNT_DIFFERS: "The announced amount is not what the order's record gives: paid less refunded.",
        ReasonCode.CURRENCY_DIFFERS: "The announced currency is not the currency on the order's record.",
        ReasonCode.ORDER_CANCELLED: "The order was cancelled.",
        ReasonCode.ORDER_UNPAID: "The order has not been paid.",
        ReasonCode.ORDER_DISPUTED: "The customer disputes the order.",
        ReasonCode.REFUND_IN_PROGRESS: "A refund of the order is in progress.",
        ReasonCode.AFTER_SALE_NOT_OVER: "The after-sale period was not over at the batch's cutoff.",
        ReasonCode.FULLY_REFUNDED: "All that was paid has been refunded; no credit is due.",
        ReasonCode.AMOUNT_NOT_POSITIVE: "The amount to credit is zero or less.",
        ReasonCode.AMOUNT_OVER_LIMIT: "The amount is over the limit for one order in its currency.",
        ReasonCode.ACCOUNT_NOT_FOUND: "The Fund Platform has no such account.",
        ReasonCode.ACCOUNT_CLOSED: "The account is closed.",
        ReasonCode.ACCOUNT_CURRENCY_DIFFERS: "The account is kept in another currency than the order.",
        ReasonCode.DATA_ERROR: "Settle could not process the order's data; no credit exists.",
        ReasonCode.PAYLOAD_CONFLICT: "This order was credited before with another account, amount or currency.",
        ReasonCode.OUTCOME_UNKNOWN: "A credit was possibly requested and its answer is not known; it may exist.",
        ReasonCode.NOT_ATTEMPTED: "The order was not processed; no credit was requested.",
    }
)
