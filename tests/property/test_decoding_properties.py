"""Decoding raises no error for any bytes, and takes in nothing that the committed schema forbids."""

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
from hypothesis import example, given, settings
from hypothesis import strategies as st

from messaging.decoding import PoisonError, decode_event, decode_record
from schemas.items import OfferedOrder
from tests.support.malformed_records import GOOD, plan_records

SCHEMA = json.loads((Path(__file__).parents[2] / "schemas/json/orders.overdue.v1.json").read_text())
IS_ALLOWED = jsonschema_rs.validator_for(SCHEMA, validate_formats=True).is_valid

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-2, max_value=10**10 + 1)
    | st.floats()
    | st.text()
    | st.sampled_from(
        ["", "USD", "usd", "A-1", " A", "A ", "a\u200bb", "2026-11-22T00:00:00Z", "2026-11-22T00:00:00", "1e3"]
    )
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)
TIMES = st.datetimes(timezones=st.timezones()).map(lambda at: at.isoformat()) | st.from_regex(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,10})?)?(Z|z|[+-][0-9]{2}:?[0-9]{2})?",
    fullmatch=True,
)
FIELDS = st.sampled_from([*GOOD, "extra"])
# A good event with some fields changed, left out or added.
EVENTS = st.builds(
    lambda changed, left_out: {name: value for name, value in {**GOOD, **changed}.items() if name not in left_out},
    st.dictionaries(FIELDS, VALUES | TIMES, max_size=2),
    st.sets(FIELDS, max_size=1),
)
DOCUMENTS = (EVENTS | VALUES | st.lists(EVENTS | VALUES, max_size=4)).map(lambda value: json.dumps(value).encode())
CUT = st.builds(lambda text, start, end: text[start:end], DOCUMENTS, st.integers(0, 3), st.integers(-3, 300))
RECORDS = DOCUMENTS | CUT | st.binary(max_size=60) | st.none()


def require_allowed(order: OfferedOrder, element: Any) -> None:
    assert IS_ALLOWED(element), element
    assert order == (element["order_id"], element["account_id"], element["amount_minor"], element["currency"])


@settings(max_examples=200, deadline=None)
@given(value=RECORDS, key=st.none() | st.binary(max_size=8), headers=st.dictionaries(st.text(), st.binary()))
@example(value=json.dumps(GOOD).encode(), key=None, headers={})
@example(value=json.dumps([GOOD, {}, GOOD]).encode(), key=None, headers={})
def test_nothing_is_raised_and_nothing_is_taken_in_that_the_schema_forbids(
    value: bytes | None, key: bytes | None, headers: dict[str, bytes]
) -> None:
    decoded = decode_record(key, value, headers)
    assert decoded.announcements or decoded.poisons
    if not decoded.announcements or value is None:
        return
    document = json.loads(value)
    for order, index in decoded.announcements:
        require_allowed(order, document if index is None else document[index])
    if isinstance(document, list):
        assert len(decoded.announcements) + len(decoded.poisons) == len(document)


@settings(max_examples=150, deadline=None)
@given(value=RECORDS.filter(bool))
def test_decoding_an_event_raises_nothing_but_poison(value: bytes) -> None:
    try:
        order = decode_event(value)
    except PoisonError:
        return
    require_allowed(order, json.loads(value))


@settings(max_examples=100, deadline=None)
@given(elements=st.lists(EVENTS, min_size=1, max_size=4))
def test_an_element_has_the_fate_that_it_has_alone(elements: list[Any]) -> None:
    together = decode_record(None, json.dumps(elements).encode(), {})
    alone = [decode_record(None, json.dumps(element).encode(), {}) for element in elements]
    assert [each.order for each in together.announcements] == [e.order for one in alone for e in one.announcements]
    assert [each.element_index for each in together.poisons] == [i for i, one in enumerate(alone) if one.poisons]


def test_what_the_table_takes_in_the_schema_allows() -> None:
    for sent in plan_records():
        if sent.taken and not sent.dead:
            assert sent.value
            assert IS_ALLOWED(json.loads(sent.value)), sent.name
