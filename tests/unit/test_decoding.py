"""Every kind of record that a producer could send by mistake has its result, and only PoisonError is raised."""

import json
import time

import pytest

from domain import limits
from messaging.dead_letter import header_values
from messaging.decoding import PoisonClass, conflict_of, decode_record, poisons_of
from tests.support.malformed_records import GOOD, Sent, event, plan_records

RECORDS = plan_records()


def test_there_are_at_least_40_kinds_of_malformed_records_each_once() -> None:
    assert len({sent.name for sent in RECORDS}) == len(RECORDS)
    assert len([sent for sent in RECORDS if sent.dead]) >= 40


@pytest.mark.parametrize("sent", RECORDS, ids=lambda sent: sent.name)
def test_a_record_has_its_fate(sent: Sent) -> None:
    decoded = decode_record(sent.key, sent.value, header_values(sent.headers))
    assert tuple(each.order.order_id for each in decoded.announcements) == sent.taken
    assert tuple((poison.poison_class, poison.element_index) for poison in decoded.poisons) == sent.dead
    for poison in decoded.poisons:
        assert poison.message.endswith(".")
        assert len(poison.message) < limits.EXCEPTION_DETAIL_LENGTH_MAX * 2


def test_what_is_taken_in_is_what_was_announced() -> None:
    [sent] = [each for each in RECORDS if each.name == "a bulk event with one bad element"]
    decoded = decode_record(None, sent.value, {})
    assert [each.element_index for each in decoded.announcements] == [0, 1, 3]
    assert {each.order[1:] for each in decoded.announcements} == {("A0000000001", 1234, "USD")}
    assert [poison.element for poison in decoded.poisons] == [b'{"order_id":"M-bad"}']


def test_the_conflict_of_an_element_carries_that_element_alone() -> None:
    [sent] = [each for each in RECORDS if each.name == "a bulk event"]
    decoded = decode_record(None, sent.value, {})
    assert sent.value
    [poison] = poisons_of(sent.value, [conflict_of(decoded.announcements[1])])
    assert poison.element
    assert decode_record(None, poison.element, {}).announcements[0].order == decoded.announcements[1].order
    assert poison.element_index == 1


def test_a_bulk_event_of_nothing_but_conflicts_does_not_starve_the_heartbeat() -> None:
    value = json.dumps([event(number) for number in range(5_000)]).encode()
    announcements = decode_record(None, value, {}).announcements
    started_s = time.process_time()
    conflicts = poisons_of(value, list(map(conflict_of, announcements)))
    assert time.process_time() - started_s < limits.KAFKA_HEARTBEAT_INTERVAL_S
    assert [each.element_index for each in conflicts] == list(range(5_000))


def test_a_mebibyte_of_bad_elements_is_one_letter_and_starves_no_heartbeat() -> None:
    value = b"[" + b"0," * 500_000 + b"0]"
    started_s = time.process_time()
    decoded = decode_record(None, value, {})
    assert time.process_time() - started_s < limits.KAFKA_HEARTBEAT_INTERVAL_S
    assert decoded.announcements == []
    assert [(each.poison_class, each.element_index) for each in decoded.poisons] == [(PoisonClass.TOO_LARGE, None)]


def test_a_full_bulk_event_of_the_shortest_events_may_have_a_bad_element() -> None:
    shortest = {**GOOD, "event_id": "e", "account_id": "a", "amount_minor": 0}
    element_bytes = len(json.dumps({**shortest, "order_id": "M"}, separators=(",", ":"))) + 1
    assert limits.RECORD_BYTES_MAX / element_bytes < limits.BULK_EVENT_ELEMENT_COUNT_MAX
