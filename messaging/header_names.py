"""Header names that are not UTF-8, which clients other than Java's can send.

aiokafka decodes header names as UTF-8. A name that is not UTF-8 makes every poll raise, so one such record would stop
every consumer of its partition. This module replaces the bad bytes of the name, and intake judges the record by its
value.

This replaces a private part of aiokafka and is written for aiokafka 0.14.0 alone. A solution with the public API would
lose good records, for two reasons. aiokafka always decodes a record batch from its first record, so a `seek` has to
skip the whole batch to get past the bad record. And a poll that raises drops the records of other partitions that it
has already read.

Remove this with the first aiokafka whose readers (`_read_msg` of `aiokafka.record`, in Python and in Cython) do not
decode names strictly. Up to 0.14.0 all do, and aiokafka's tracker had no issue or pull request about it.
"""

from collections.abc import Iterator
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import _MemoryRecordsPy


def read_any_header_name() -> None:
    """Make all consumers of this process read such names. Idempotent."""
    fetcher.MemoryRecords = _Records


class _Records(_MemoryRecordsPy):  # type: ignore[misc]
    """The record batches of a fetch. aiokafka's fast reader reads each, up to the first name that it cannot decode."""

    def next_batch(self) -> Any:
        raw = self._next_slice
        batch = super().next_batch()
        return batch if batch is None or batch.is_control_batch else _Batch(batch, raw)


class _Batch:
    def __init__(self, batch: Any, raw: memoryview) -> None:
        self._batch = batch
        self._raw = raw

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __iter__(self) -> Iterator[Any]:
        offset_read = -1
        try:
            for record in self._batch:
                yield record
                offset_read = record.offset
        # The fast (Cython) reader raises the first error. Where it is not installed, the slow (Python) one raises the
        # second.
        except (UnicodeDecodeError, CorruptRecordException):
            yield from (record for record in _LenientBatch(self._raw) if record.offset > offset_read)


class _LenientBatch(_DefaultRecordBatchPy):  # type: ignore[misc]
    """A record batch that aiokafka's slow (Python) reader reads from bytes that always decode."""

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer: bytearray = _LenientBytes(self._buffer)


class _LenientBytes(bytearray):
    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        return _LenientBytes(found) if isinstance(index, slice) else found

    def decode(self, *_: object) -> str:
        return super().decode(errors="replace")
