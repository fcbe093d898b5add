"""How an activity attempt ended is logged, with what a person needs to find it."""

import asyncio
import logging

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.attempts import attempt
from domain.errors import BatchNotFoundError, UnavailableError


async def fail_with(error: BaseException) -> None:
    async with attempt("a-batch", 3):
        raise error


async def succeed() -> None:
    async with attempt("a-batch"):
        pass


@pytest.mark.parametrize(
    ("error", "said", "is_final", "has_traceback"),
    [
        (UnavailableError("PostgreSQL is away."), "PostgreSQL is away.", False, False),
        (ConnectionRefusedError("refused"), "refused", False, False),
        (BatchNotFoundError("There is no batch x."), "There is no batch x.", True, False),
        (KeyError("surprise"), "'surprise'", False, True),
        (asyncio.CancelledError(), "CancelledError", False, False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
async def test_a_failed_attempt_says_why_and_whether_it_will_be_tried_again(
    caplog: pytest.LogCaptureFixture, error: BaseException, said: str, is_final: bool, has_traceback: bool
) -> None:
    with pytest.raises(ApplicationError if is_final else type(error)):
        await ActivityEnvironment().run(fail_with, error)
    [record] = caplog.records
    assert record.getMessage() == "activity attempt failed"
    assert vars(record).items() >= {
        ("activity", "unknown"),
        ("batch_id", "a-batch"),
        ("chunk_index", 3),
        ("attempt", 1),
        ("error", said),
        ("will_be_tried_again", not is_final),
    }
    assert bool(record.exc_info) == has_traceback


async def test_an_attempt_that_is_done_says_of_which_batch(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    await ActivityEnvironment().run(succeed)
    [record] = caplog.records
    assert record.getMessage() == "activity attempt done"
    assert vars(record)["batch_id"] == "a-batch"
    assert "chunk_index" not in vars(record)
    assert vars(record)["elapsed_s"] >= 0
