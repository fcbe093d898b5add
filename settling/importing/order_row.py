"""Parsing one line of an order file into a record."""

import csv
from datetime import UTC, datetime

from domain import limits
from fund_platform.port.accounts import FUNDING_ACCOUNT_PREFIX
from schemas.orders import OrderRecord, OrderStatus

STATUSES = frozenset(OrderStatus)


def fields_of(line: bytes) -> list[str]:
    """Split one line of a CSV file.

    Raises:
        ValueError: the line is not valid CSV. The message says why.
    """
    if len(line) > limits.ORDER_LINE_BYTES_MAX:
        raise ValueError(f"the line is longer than {limits.ORDER_LINE_BYTES_MAX:,} bytes")
    bare = line.rstrip(b"\r\n")
    if b"\0" in bare or b"\r" in bare:
        raise ValueError("the line contains a NUL byte or a carriage return")
    try:
        text = bare.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"the line is not valid UTF-8 at byte {error.start + 1}") from error
    if '"' not in text:
        return text.split(",")  # the same result as the csv module, in a fifth of the time
    try:
        return next(csv.reader((text,), strict=True))
    except csv.Error as error:
        raise ValueError(f"the line has a misplaced quote: {error}") from error


def record_of(
    order_id: str,
    account_id: str,
    paid_minor: str,
    refunded_minor: str,
    currency: str,
    status: str,
    completed_at: str,
    after_sale_ends_at: str,
) -> OrderRecord:
    """Check the fields of a row, in the order of `OrderRecord`, and return its record.

    Raises:
        ValueError: a field cannot be loaded. The message says which one and why.
    """
    if currency not in limits.ORDER_AMOUNT_MINOR_MAX:
        known = ", ".join(limits.ORDER_AMOUNT_MINOR_MAX)
        raise ValueError(f"currency {_shown(currency)} is unknown: it must be one of {known}")
    if status not in STATUSES:
        raise ValueError(f"status {_shown(status)} is unknown: it must be one of {', '.join(OrderStatus)}")
    paid, refunded = _amount("paid_minor", paid_minor), _amount("refunded_minor", refunded_minor)
    if refunded > paid:
        raise ValueError(f"refunded_minor {refunded} is more than paid_minor {paid}")
    return OrderRecord(
        _identifier("order_id", order_id),
        _account_id(account_id),
        paid,
        refunded,
        currency,
        status,
        _moment("completed_at", completed_at),
        _moment("after_sale_ends_at", after_sale_ends_at),
    )


def _account_id(text: str) -> str:
    if text.startswith(FUNDING_ACCOUNT_PREFIX):
        raise ValueError(
            f"account_id {_shown(text)} begins with {FUNDING_ACCOUNT_PREFIX!r}, which is reserved for funding accounts"
        )
    return _identifier("account_id", text)


def _identifier(column: str, text: str) -> str:
    if not 0 < len(text) <= limits.IDENTIFIER_LENGTH_MAX or not text.isprintable() or text != text.strip():
        raise ValueError(
            f"{column} {_shown(text)} is not an identifier: it must have 1 to "
            f"{limits.IDENTIFIER_LENGTH_MAX} printable characters and no blank at either end"
        )
    return text


def _amount(column: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= limits.AMOUNT_DIGIT_COUNT_MAX):
        raise ValueError(
            f"{column} {_shown(text)} is not an amount: it must be a whole number of minor units, zero or more, "
            f"of at most {limits.AMOUNT_DIGIT_COUNT_MAX} digits"
        )
    return int(text)


def _moment(column: str, text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ValueError(
        f"{column} {_shown(text)} is not a date and time with a zone: it must look like 2026-11-22T00:00:00Z"
    )


def _shown(text: str) -> str:
    return repr(text[: limits.IDENTIFIER_LENGTH_MAX])
