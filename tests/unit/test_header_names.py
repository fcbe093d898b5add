"""A header name that is not UTF-8 does not end a consumer."""

from importlib.metadata import version
from typing import Any

import pytest
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record import memory_records
from aiokafka.record.default_records import DefaultRecordBatch, _DefaultRecordBatchPy

from messaging.header_names import read_any_header_name
from tests.support.raw_batches import BAD_HEADER, LZ4, UNCOMPRESSED, batch_with_bad_header_names

VALUES = [b"0", b"1", b"2"]
# The second is used if the client was installed without its extension, or AIOKAFKA_NO_EXTENSIONS is set.
READERS = pytest.mark.parametrize("reader", [DefaultRecordBatch, _DefaultRecordBatchPy])


def test_the_client_is_the_one_that_this_was_made_for() -> None:
    """With another version, check `messaging.header_names` again, because it replaces private functions there."""
    assert version("aiokafka") == "0.14.0"


@READERS
def test_the_client_alone_raises_at_such_a_name_and_reads_nothing_behind_it(reader: Any) -> None:
    """If the client no longer does this, `messaging.header_names` can be removed."""
    records = iter(reader(batch_with_bad_header_names(VALUES, {1})))
    assert next(records).value == VALUES[0]
    for _ in VALUES:
        with pytest.raises((UnicodeDecodeError, CorruptRecordException), match="invalid start byte"):
            next(records)


@READERS
@pytest.mark.parametrize("compression", [UNCOMPRESSED, LZ4])
def test_each_record_is_read_once_with_its_bad_name_replaced(
    compression: int, reader: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_records, "DefaultRecordBatch", reader)
    read_any_header_name()
    raw = batch_with_bad_header_names(VALUES * 10, {1, 2, 29}, compression) + batch_with_bad_header_names(VALUES, {})
    records = fetcher.MemoryRecords(raw)
    first, second = records.next_batch(), records.next_batch()
    assert not records.has_next()
    assert first.validate_crc()
    read = list(first)
    assert [(each.offset, each.value, each.timestamp) for each in read] == [
        (offset, value, 1_700_000_000_000) for offset, value in enumerate(VALUES * 10)
    ]
    assert [each.headers for each in read] == [[BAD_HEADER] if index in {1, 2, 29} else [] for index in range(30)]
    assert [each.value for each in second] == VALUES
