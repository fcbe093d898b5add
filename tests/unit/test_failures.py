"""Whether an error isolates items or is retried depends on what a call or pure code raises."""

import asyncio

import pytest

from domain import limits
from domain.errors import (
    ChunkDataError,
    DataError,
    InvariantViolationError,
    NotSupportedError,
    UnansweredError,
    UnavailableError,
)
from schemas.wire.isolation import ItemRange
from settling.failures import calling, describe, over_items, storable

PORT_FAILURES = [
    DataError("A row cannot be read."),
    InvariantViolationError("The ledger contradicts itself."),
    NotSupportedError("Nothing can be withdrawn here."),
    UnansweredError("The answer was lost."),
    UnavailableError("It is away."),
    asyncio.CancelledError(),
]
STRANGERS = [
    KeyError("an answer is missing"),
    ConnectionResetError(),
    TimeoutError(),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    RuntimeError("unable to perform operation on the transport; it is closed"),
    AssertionError(),
]


@pytest.mark.parametrize("error", PORT_FAILURES, ids=lambda error: type(error).__name__)
def test_how_a_port_says_that_it_fails_passes_as_it_is(error: BaseException) -> None:
    with pytest.raises(type(error)) as raised, calling("The system"):
        raise error
    assert raised.value is error


@pytest.mark.parametrize("error", STRANGERS, ids=lambda error: type(error).__name__)
def test_what_a_port_does_not_know_is_unanswered_and_logged_as_a_bug(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(UnansweredError, match=r"The system.*" + type(error).__name__) as raised, calling("The system"):
        raise error
    assert raised.value.__cause__ is error
    [record] = caplog.records
    assert record.exc_info is not None


@pytest.mark.parametrize("error", STRANGERS, ids=lambda error: type(error).__name__)
def test_what_pure_code_raises_over_items_names_them(error: Exception) -> None:
    with pytest.raises(ChunkDataError) as raised, over_items(ItemRange(10, 20)):
        raise error
    assert raised.value.detail.startswith(type(error).__name__)
    assert (raised.value.item_start, raised.value.item_end) == (10, 20)
    assert raised.value.__cause__ is error


def test_settles_own_errors_are_described_by_text_and_others_by_kind_too() -> None:
    assert describe(DataError("It is \n odd.")) == "It is odd."
    assert describe(ValueError("It is odd.")) == "ValueError: It is odd."
    assert describe(ValueError()) == "ValueError"


def test_a_detail_is_storable_whatever_the_error_said() -> None:
    text = storable("a\0b\ud800" + "x" * 1_000)
    assert text.startswith("a?b?x")
    assert len(text.encode()) == limits.EXCEPTION_DETAIL_LENGTH_MAX
