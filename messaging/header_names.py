"""Header names that are not UTF-8, which clients other than Java's can send.

aiokafka decodes a header's name as UTF-8 and raises at any other, at every poll: one such record would end every
consumer of its partition. Here such a name is read with its bad bytes replaced, and the record is judged by its value.

This replaces a private part of aiokafka and is written for aiokafka 0.14.0 alone. The public API would lose good
records: aiokafka reads a batch of records from its beginning, wherever the position is, so `seek` does not get past the
bad record until it is past the whole batch. And a poll that raises has moved past records of other partitions, which it
drops.

Remove this with the first aiokafka whose readers (`_read_msg` of `aiokafka.record`, in Python and in Cython) do not
decode names strictly. Up to 0.14.0 all do; no issue or pull request about it was found there.
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
    """The batches of records of a fetch, read by the client's fast reader as far as it gets."""

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
        except (UnicodeDecodeError, CorruptRecordException):  # the slow reader's error, where there is no fast one
            yield from (record for record in _LenientBatch(self._raw) if record.offset > offset_read)


class _LenientBatch(_DefaultRecordBatchPy):  # type: ignore[misc]
    """The client's slow reader, on bytes that always decode."""

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer: bytearray = _LenientBytes(self._buffer)


class _LenientBytes(bytearray):
    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        return _LenientBytes(found) if isinstance(index, slice) else found

    def decode(self, *_: object) -> str:
        return super().decode(errors="replace")
