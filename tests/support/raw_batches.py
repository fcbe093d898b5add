"""Record batches that other clients can send and aiokafka's producer cannot."""

from collections.abc import Collection, Sequence

from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

UNCOMPRESSED = 0
LZ4 = 3
BAD_HEADER = ("\ufffd\ufffdname", b"1")


class _BadName(str):
    __slots__ = ()

    def encode(self, *_: object) -> bytes:
        """Return bytes that are not UTF-8."""
        return b"\xff\xfe" + super().encode()


def batch_with_bad_header_names(
    values: Sequence[bytes], bad_indexes: Collection[int], compression: int = UNCOMPRESSED
) -> bytes:
    """Return a batch in which some records have a header with a name that is not UTF-8. It is read as `BAD_HEADER`."""
    builder = _DefaultRecordBatchBuilderPy(
        magic=2,
        compression_type=compression,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1_000_000,
    )
    for index, value in enumerate(values):
        headers = [(_BadName("name"), b"1")] if index in bad_indexes else []
        builder.append(index, timestamp=1_700_000_000_000, key=None, value=value, headers=headers)
    return bytes(builder.build())
