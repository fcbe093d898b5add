"""Records that a producer could send by mistake, each with its expected result."""

import json
from typing import Any, NamedTuple

from domain import limits
from messaging.decoding import PoisonClass

GOOD: dict[str, Any] = {
    "schema_version": 1,
    "event_id": "e-1",
    "order_id": "M-1",
    "account_id": "A0000000001",
    "amount_minor": 1234,
    "currency": "USD",
    "after_sale_ends_at": "2026-11-22T00:00:00Z",
}


class Sent(NamedTuple):
    """A record, the ids of its orders that are taken in, and its dead letters by class and element index."""

    name: str
    value: bytes | None
    taken: tuple[str, ...] = ()
    dead: tuple[tuple[PoisonClass, int | None], ...] = ()
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


def event(number: int, **changed: Any) -> dict[str, Any]:
    """Return a valid event of order `M-{number}` with some fields changed. The value `...` leaves a field out."""
    fields = {**GOOD, "event_id": f"e-{number}", "order_id": f"M-{number}", **changed}
    return {name: value for name, value in fields.items() if value is not ...}


def dead(name: str, value: bytes | None, poison_class: PoisonClass, **more: Any) -> Sent:
    return Sent(name, value, dead=((poison_class, None),), **more)


def plan_records() -> list[Sent]:
    """Return one record of each kind. The orders are numbered in the order of the list, from `M-0`."""
    numbers = iter(range(1_000))

    def good(name: str, more: dict[str, Any] | None = None, **sent: Any) -> Sent:
        number = next(numbers)
        return Sent(name, json.dumps(event(number, **(more or {}))).encode(), taken=(f"M-{number}",), **sent)

    def invalid(name: str, **changed: Any) -> Sent:
        return dead(name, json.dumps(event(next(numbers), **changed)).encode(), PoisonClass.INVALID_EVENT)

    def text(name: str, old: str, new: str, poison_class: PoisonClass = PoisonClass.INVALID_EVENT) -> Sent:
        value = json.dumps(event(next(numbers)))
        assert old in value
        return dead(name, value.replace(old, new).encode("utf-8", "surrogatepass"), poison_class)

    def bulk(name: str, elements: list[Any], bad: dict[int, PoisonClass]) -> Sent:
        taken = tuple(each["order_id"] for index, each in enumerate(elements) if index not in bad)
        return Sent(name, json.dumps(elements).encode(), taken, tuple((poison, index) for index, poison in bad.items()))

    def some(count: int) -> list[dict[str, Any]]:
        return [event(next(numbers)) for _ in range(count)]

    wrong = PoisonClass.INVALID_EVENT
    not_json = PoisonClass.NOT_JSON
    no_value = PoisonClass.NO_VALUE
    headers = PoisonClass.UNKNOWN_HEADERS
    return [
        good("no key"),
        good("zero is taken in, and rejected by validation", {"amount_minor": 0}),
        good("an unknown field is left to later versions", {"channel": "web"}),
        good("an unknown currency is taken in, and rejected by validation", {"currency": "XYZ"}),
        good("a time with another zone", {"after_sale_ends_at": "2026-11-22T08:00:00+08:00"}),
        good("an id of other letters", {"account_id": "客户-1"}),
        good("headers of CloudEvents", headers=(("ce_specversion", b"1.0"), ("ce_id", b"1"), ("ce_type", b"overdue"))),
        good("a content type with a charset", headers=(("content-type", b"application/json; charset=utf-8"),)),
        dead("null value", None, no_value, key=b"M-1"),
        dead("empty value", b"", no_value),
        dead("blanks only", b" \n\t ", no_value),
        dead("not JSON", b"overdue", not_json),
        dead("XML", b"<order id='1'/>", not_json),
        dead("JSON that ends early", json.dumps(event(next(numbers))).encode()[:-7], not_json),
        dead("two events, one after the other", json.dumps(event(next(numbers))).encode() * 2, not_json),
        dead("bad UTF-8", json.dumps(event(next(numbers))).encode().replace(b"M-", b"M\xff"), not_json),
        dead("UTF-16", json.dumps(event(next(numbers))).encode("utf-16"), not_json),
        dead("NUL bytes", b"\0\0\0\0", not_json),
        dead("deeply nested objects", b'{"a":' * 10_000, not_json),
        dead("deeply nested arrays", b"[" * 10_000, not_json),
        dead("5 MB of nothing", b'"' + b"x" * 5_000_000 + b'"', PoisonClass.TOO_LARGE),
        dead("a JSON null", b"null", wrong),
        dead("a JSON string", b'"M-1"', wrong),
        dead("a JSON number", b"17", wrong),
        dead("an object without fields", b"{}", wrong),
        invalid("another schema version", schema_version=2),
        invalid("a schema version as text", schema_version="1"),
        invalid("a missing schema version", schema_version=...),
        invalid("a missing order", order_id=...),
        invalid("a missing amount", amount_minor=...),
        invalid("a missing event id", event_id=...),
        invalid("a missing time", after_sale_ends_at=...),
        invalid("an empty order id", order_id=""),
        invalid("a long order id", order_id="M" * (limits.IDENTIFIER_LENGTH_MAX + 1)),
        invalid("an order id with a NUL", order_id="M\0"),
        invalid("an order id with a line break", order_id="M-1\n"),
        invalid("an order id that is a number", order_id=7),
        invalid("an account that is null", account_id=None),
        invalid("a negative amount", amount_minor=-1),
        invalid("an amount with a fraction", amount_minor=12.34),
        invalid("a whole amount as a float", amount_minor=12.0),
        invalid("an amount as text", amount_minor="1234"),
        invalid("an amount that is true", amount_minor=True),
        invalid("a huge amount", amount_minor=10**limits.AMOUNT_DIGIT_COUNT_MAX),
        invalid("an amount beyond 64 bits", amount_minor=2**70),
        text("an amount of 5,000 digits", "1234", "1" * 5_000, not_json),
        text("NaN", "1234", "NaN"),
        text("Infinity", "1234", "Infinity"),
        text("an amount with an exponent", "1234", "1e3"),
        text("an amount with a leading zero", "1234", "01234", not_json),
        text("half of a surrogate pair", "M-", "\\ud800", not_json),
        invalid("a currency in small letters", currency="usd"),
        invalid("a long currency", currency="EURO"),
        invalid("a currency with a line break", currency="USD\n"),
        invalid("a date without a time", after_sale_ends_at="2026-11-22"),
        invalid("a time without a zone", after_sale_ends_at="2026-11-22T00:00:00"),
        invalid("a time as a number", after_sale_ends_at=1795305600),
        invalid("a time as a number in text", after_sale_ends_at="1795305600"),
        invalid("a day that is not", after_sale_ends_at="2026-02-30T00:00:00Z"),
        dead("a key of another order", json.dumps(event(next(numbers))).encode(), PoisonClass.KEY_DIFFERS, key=b"M-x"),
        dead("an empty key", json.dumps(event(next(numbers))).encode(), PoisonClass.KEY_DIFFERS, key=b""),
        dead(
            "an unknown version of CloudEvents",
            json.dumps(event(next(numbers))).encode(),
            headers,
            headers=(("ce_specversion", b"2.0"),),
        ),
        dead(
            "CloudEvents in structured mode",
            json.dumps({"specversion": "1.0", "data": event(next(numbers))}).encode(),
            headers,
            headers=(("content-type", b"application/cloudevents+json"),),
        ),
        dead("Avro", b"\x00\x01\x02", headers, headers=(("content-type", b"avro/binary"),)),
        bulk("a bulk event", some(3), {}),
        bulk("a bulk event of one", some(1), {}),
        bulk("a bulk event with one bad element", [*some(2), {"order_id": "M-bad"}, *some(1)], {2: wrong}),
        bulk(
            "a bulk event with elements of other kinds",
            [*some(1), None, 7, "x", []],
            dict.fromkeys((1, 2, 3, 4), wrong),
        ),
        bulk(
            "a bulk event with NaN in one element",
            [*some(1), event(next(numbers), amount_minor=float("nan"))],
            {1: wrong},
        ),
        dead("an empty array", b"[]", wrong),
        dead(
            "an array of more bad elements than are looked at",
            json.dumps([0] * (limits.BULK_EVENT_ELEMENT_COUNT_MAX + 1)).encode(),
            PoisonClass.TOO_LARGE,
        ),
    ]
