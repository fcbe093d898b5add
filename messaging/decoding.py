"""Decode a Kafka record into offers of orders, or into poison with a sentence that says why. Pure."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, from_json, to_json

from domain import limits
from domain.errors import SettleError
from schemas.items import OfferedOrder
from schemas.wire.events import BulkEvent, OverdueEvent

_BULK_EVENT = TypeAdapter(BulkEvent)
_JSON_TYPES = ("application/json", "text/json")
_ARRAY = b"["
_PROBLEMS_NAMED_MAX = 5
_CLOUDEVENTS_VERSION = b"1.0"


class PoisonClass(StrEnum):
    """Why a record, or an element of a bulk event, cannot be taken in."""

    NO_VALUE = "NO_VALUE"
    TOO_LARGE = "TOO_LARGE"
    NOT_JSON = "NOT_JSON"
    INVALID_EVENT = "INVALID_EVENT"
    KEY_DIFFERS = "KEY_DIFFERS"
    UNKNOWN_HEADERS = "UNKNOWN_HEADERS"
    CONFLICT = "CONFLICT"
    """Decoded, but the order has a live item with another account, amount or currency."""
    STORE_REFUSED = "STORE_REFUSED"
    """Decoded, but the settlement store cannot take the order."""


class PoisonError(SettleError):
    """The data are not an event. The only error that decoding raises."""

    def __init__(self, poison_class: PoisonClass, message: str) -> None:
        super().__init__(message)
        self.poison_class = poison_class


class Poison(NamedTuple):
    """A bad record, or a bad element of a bulk event. Only an element has an index, from 0, and JSON of its own."""

    poison_class: PoisonClass
    message: str
    element_index: int | None = None
    element: bytes | None = None


class Announcement(NamedTuple):
    """One order that a record announces, with the index of its element in a bulk event."""

    order: OfferedOrder
    element_index: int | None = None


class Refusal(NamedTuple):
    """An announcement that was decoded and cannot be taken in."""

    announcement: Announcement
    poison_class: PoisonClass
    message: str


class DecodedRecord(NamedTuple):
    """The announcements and the poison of a record. A bulk event has one of them for each element."""

    announcements: list[Announcement]
    poisons: list[Poison]


def decode_record(key: bytes | None, value: bytes | None, headers: Mapping[str, bytes]) -> DecodedRecord:
    """Decode a record of `orders.overdue`, which is one event or a bulk event. Raises nothing.

    Args:
        key: the order id, if the record has a key and is one event. A bulk event's key is ignored.
        value: JSON.
        headers: by lower-case name. Those of CloudEvents' binary mode are understood; none is required.
    """
    try:
        return _decode(key, value, headers)
    except PoisonError as error:
        return DecodedRecord([], [Poison(error.poison_class, str(error))])


def conflict_of(announcement: Announcement) -> Refusal:
    """Return the refusal of an announcement whose order has a live item with another payload."""
    order_id = announcement.order.order_id
    return Refusal(
        announcement,
        PoisonClass.CONFLICT,
        f"Order {order_id} is already pending, settled or held with another account, amount or currency.",
    )


def store_refusal_of(announcement: Announcement, reason: str) -> Refusal:
    """Return the refusal of an announcement whose order the settlement store cannot take."""
    return Refusal(
        announcement,
        PoisonClass.STORE_REFUSED,
        f"Order {announcement.order.order_id} was refused. {reason}",
    )


def poisons_of(value: bytes, refusals: Sequence[Refusal]) -> list[Poison]:
    """Return the poison of one record's refused announcements."""
    # Parsed once: all elements of a bulk event may be refused.
    elements = from_json(value) if any(each.announcement.element_index is not None for each in refusals) else []
    return [
        Poison(poison_class, message, index, None if index is None else _text_of(elements[index]))
        for (_, index), poison_class, message in refusals
    ]


def _decode(key: bytes | None, value: bytes | None, headers: Mapping[str, bytes]) -> DecodedRecord:
    _require_json(headers)
    if not value or not (content := value.lstrip()):
        raise PoisonError(PoisonClass.NO_VALUE, "The record has no value. Send an event as JSON.")
    if len(value) > limits.RECORD_BYTES_MAX:
        raise PoisonError(
            PoisonClass.TOO_LARGE,
            f"The value has {len(value):,} bytes; the limit is {limits.RECORD_BYTES_MAX:,}. Split the bulk event.",
        )
    if content.startswith(_ARRAY):
        return _decode_bulk(value)
    order = decode_event(value)
    if key is not None and key != order.order_id.encode():
        raise PoisonError(
            PoisonClass.KEY_DIFFERS,
            f"The key {_shown(key)} differs from the event's order_id {order.order_id!r}. Use the order_id as key.",
        )
    return DecodedRecord([Announcement(order)], [])


def decode_event(value: bytes) -> OfferedOrder:
    """Decode one event.

    Raises:
        PoisonError: the value is not a valid event.
    """
    try:
        return _offer(OverdueEvent.model_validate_json(value, strict=True))
    except ValidationError as error:
        raise _poison_of(error) from error


def _decode_bulk(value: bytes) -> DecodedRecord:
    """Decode all elements in one call, and one by one only if one of them is bad."""
    try:
        events = _BULK_EVENT.validate_json(value, strict=True)
    except ValidationError:
        return _decode_elements(value)
    return DecodedRecord([Announcement(_offer(event), index) for index, event in enumerate(events)], [])


def _decode_elements(value: bytes) -> DecodedRecord:
    try:
        elements = from_json(value)
    except ValueError as error:
        raise PoisonError(PoisonClass.NOT_JSON, f"The value is not JSON: {error}.") from error
    if not elements:
        raise PoisonError(PoisonClass.INVALID_EVENT, "The bulk event has no elements.")
    if len(elements) > limits.BULK_EVENT_ELEMENT_COUNT_MAX:
        raise PoisonError(
            PoisonClass.TOO_LARGE,
            f"The bulk event has {len(elements):,} elements, and not all of them are events. "
            f"At most {limits.BULK_EVENT_ELEMENT_COUNT_MAX:,} are decoded one by one. Split the bulk event.",
        )
    decoded = DecodedRecord([], [])
    for index, element in enumerate(elements):
        event = _text_of(element)
        try:
            decoded.announcements.append(Announcement(decode_event(event), index))
        except PoisonError as error:
            decoded.poisons.append(Poison(error.poison_class, str(error), index, event))
    return decoded


def _text_of(element: object) -> bytes:
    """Return an element as JSON. It keeps values that JSON lacks, such as NaN, so a replayed element is still bad."""
    return to_json(element, inf_nan_mode="constants")


def _require_json(headers: Mapping[str, bytes]) -> None:
    version = headers.get("ce_specversion")
    if version is not None and version != _CLOUDEVENTS_VERSION:
        raise PoisonError(
            PoisonClass.UNKNOWN_HEADERS, f"CloudEvents version {_shown(version)} is not supported. Send 1.0."
        )
    content_type = headers.get("content-type")
    if content_type is None:
        return
    media_type = content_type.split(b";")[0].strip().lower().decode("latin-1")
    if media_type not in _JSON_TYPES:
        raise PoisonError(
            PoisonClass.UNKNOWN_HEADERS,
            f"Content type {_shown(content_type)} is not supported. Send application/json (CloudEvents: binary mode).",
        )


def _offer(event: OverdueEvent) -> OfferedOrder:
    return OfferedOrder(event.order_id, event.account_id, event.amount_minor, event.currency)


def _poison_of(error: ValidationError) -> PoisonError:
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    if problems[0]["type"] == "json_invalid":
        return PoisonError(PoisonClass.NOT_JSON, f"The value is not JSON: {problems[0]['msg']}.")
    named = "; ".join(_problem_text(problem) for problem in problems[:_PROBLEMS_NAMED_MAX])
    return PoisonError(PoisonClass.INVALID_EVENT, f"The event is not valid: {named}.")


def _problem_text(problem: ErrorDetails) -> str:
    field = ".".join(str(part) for part in problem["loc"])
    return f"{field}: {problem['msg']}" if field else problem["msg"]


def _shown(raw: bytes) -> str:
    return repr(raw[: limits.IDENTIFIER_LENGTH_MAX].decode(errors="replace"))
