"""The end of an activity attempt is logged with what a person needs to find it."""

import asyncio
import dataclasses
import logging
import time

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.attempts import answered_within, attempt
from domain.errors import (
    BatchNotFoundError,
    ChunkDataError,
    CreditsUnansweredError,
    UnansweredError,
    UnansweredForTooLongError,
    UnavailableError,
)


async def fail_with(error: BaseException) -> None:
    async with attempt("a-batch", 3):
        raise error


def caused_by(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


async def succeed() -> None:
    async with attempt("a-batch"):
        pass


@pytest.mark.parametrize(
    ("error", "said", "is_final", "has_traceback"),
    [
        (UnavailableError("PostgreSQL is away."), "PostgreSQL is away.", False, False),
        (ConnectionRefusedError("refused"), "refused", False, True),
        (BatchNotFoundError("There is no batch x."), "There is no batch x.", True, False),
        (KeyError("surprise"), "'surprise'", False, True),
        (asyncio.CancelledError(), "CancelledError", False, False),
        (caused_by(UnansweredError("No answer."), OSError("away")), "No answer.", False, False),
        (caused_by(UnansweredError("No answer."), RuntimeError("odd")), "No answer.", False, False),
        (caused_by(UnansweredForTooLongError("None."), UnansweredError("No answer.")), "None.", True, False),
        (
            caused_by(ChunkDataError("KeyError: 'x'", 3, 5), KeyError("x")),
            "Items 3 to 4, or some of them, cannot be processed: KeyError: 'x'",
            True,
            True,
        ),
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


async def test_an_error_of_the_data_tells_the_workflow_of_which_items() -> None:
    with pytest.raises(ApplicationError) as told:
        await ActivityEnvironment().run(fail_with, ChunkDataError("KeyError: 'x'", 3, 5))
    assert (told.value.type, told.value.details, told.value.non_retryable) == ("ChunkDataError", (3, 5), True)


async def test_a_local_attempts_error_is_final_for_no_one_and_its_heartbeats_are_not_sent(
    caplog: pytest.LogCaptureFixture,
) -> None:
    environment = ActivityEnvironment()
    environment.info = dataclasses.replace(environment.info, is_local=True)
    told: list[object] = []
    environment.on_heartbeat = told.append

    async def beat_and_fail() -> None:
        async with attempt("a-batch", 3) as heartbeat:
            heartbeat.beat()
            raise BatchNotFoundError("There is no batch x.")

    with pytest.raises(BatchNotFoundError):
        await environment.run(beat_and_fail)
    [record] = caplog.records
    assert vars(record)["will_be_tried_again"] is True
    assert told == []


async def ask(error: Exception, deadline_s: float) -> None:
    async with attempt("a-batch", 3) as heartbeat:
        with answered_within(heartbeat, deadline_s):
            raise error


async def run_attempt(error: Exception, details: tuple[float, ...], told: list[tuple[object, ...]]) -> None:
    environment = ActivityEnvironment()
    environment.info = dataclasses.replace(environment.info, heartbeat_details=details)
    environment.on_heartbeat = lambda *details: told.append(details)
    await environment.run(ask, error, 60.0)


async def test_the_fund_platform_is_asked_until_a_deadline_from_the_first_silence() -> None:
    told: list[tuple[object, ...]] = []
    before_s = time.time()
    with pytest.raises(CreditsUnansweredError):
        await run_attempt(CreditsUnansweredError("No answer."), (), told)
    [(since_s,)] = told
    assert isinstance(since_s, float)
    assert before_s <= since_s <= time.time()

    for passed_s in (1, 30):
        since_s = time.time() - passed_s
        with pytest.raises(CreditsUnansweredError):
            await run_attempt(CreditsUnansweredError("No answer."), (since_s,), told)
        assert told[-1] == (since_s,)
    with pytest.raises(ApplicationError, match="retried for 60 s without an answer") as ended:
        await run_attempt(CreditsUnansweredError("No answer."), (time.time() - 61,), told)
    assert (ended.value.type, ended.value.non_retryable) == ("UnansweredForTooLongError", True)


@pytest.mark.parametrize("error", [UnansweredError("The store hung up."), UnavailableError("The store is away.")])
async def test_another_failure_in_between_begins_the_deadline_anew(error: Exception) -> None:
    told: list[tuple[object, ...]] = []
    with pytest.raises(type(error)):
        await run_attempt(error, (time.time() - 3_600,), told)
    assert told == [()]
