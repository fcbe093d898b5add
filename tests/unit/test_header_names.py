"""A header's name that is not UTF-8 ends no consumer."""

import pytest
from aiokafka.consumer import fetcher
from aiokafka.record.memory_records import MemoryRecords

from messaging.header_names import read_any_header_name
from tests.raw_batches import LZ4, UNCOMPRESSED, batch_with_bad_header_name

VALUES = [b"0", b"1", b"2"]


def test_the_client_alone_raises_at_such_a_name() -> None:
    """If it does not any more, `messaging.header_names` can go."""
    with pytest.raises(UnicodeDecodeError):
        list(MemoryRecords(batch_with_bad_header_name(VALUES, 1)).next_batch())


@pytest.mark.parametrize("compression", [UNCOMPRESSED, LZ4])
def test_each_record_is_read_once_with_its_bad_name_replaced(compression: int) -> None:
    read_any_header_name()
    raw = batch_with_bad_header_name(VALUES * 10, 1, compression) + batch_with_bad_header_name(VALUES, 7)
    records = fetcher.MemoryRecords(raw)
    first, second = records.next_batch(), records.next_batch()
    assert not records.has_next()
    assert first.validate_crc()
    read = list(first)
    assert [(each.offset, each.value, each.timestamp) for each in read] == [
        (offset, value, 1_700_000_000_000) for offset, value in enumerate(VALUES * 10)
    ]
    assert [each.headers for each in read] == [[], [("\ufffd\ufffdname", b"1")], *[[]] * 28]
    assert [each.value for each in second] == VALUES
