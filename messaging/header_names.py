"""Names of headers that are not UTF-8, as clients that are not Java's can send them.

aiokafka reads a header's name as UTF-8 and raises at others: at each poll anew, so that one such record would end every
consumer of its partition. Here such a name is read with its bad bytes replaced; the record has the fate of its value.

For that a part of aiokafka is replaced that is not public, and what is written here holds for aiokafka 0.14.0 alone.
Its public means would lose good records. It reads a batch of records from its beginning, wherever the position is, so
`seek` gets no further than the bad record until it is past the whole batch. And a poll that raises has moved past
records of other partitions, which it drops.

This can go with the first aiokafka whose readers (`_read_msg` of `aiokafka.record`, in Python and in Cython) do not
decode names strictly. Up to 0.14.0 all do; no issue or pull request about it was found there.
"""

from collections.abc import Iterator
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import _MemoryRecordsPy


def read_any_header_name() -> None:
    """Have all consumers of this process read such names. Idempotent."""
    fetcher.MemoryRecords = _Records


class _Records(_MemoryRecordsPy):  # type: ignore[misc]
    """The batches of records of a fetch, read by the client's fast reader as far as it can."""

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
        except (UnicodeDecodeError, CorruptRecordException):  # the second is the slow reader's, where it reads all
            yield from (record for record in _LenientBatch(self._raw) if record.offset > offset_read)


class _LenientBatch(_DefaultRecordBatchPy):  # type: ignore[misc]
    """The client's slow reader, on bytes that decode whatever they are."""

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer: bytearray = _LenientBytes(self._buffer)


class _LenientBytes(bytearray):
    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        return _LenientBytes(found) if isinstance(index, slice) else found

    def decode(self, *_: object) -> str:
        return super().decode(errors="replace")
