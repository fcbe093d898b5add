"""Bugs that the simulator must find, by name. Each is a patch of Settle that exists only here.

Bugs in an adapter are planted in the doubles, so only seeds in memory can find them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from types import MappingProxyType
from typing import Any
from unittest.mock import patch

from domain.errors import UnansweredError
from schemas.chunks import ChunkKey, ChunkState, StoredValidation
from schemas.items import ExceptionItem, Item, RerunItem, StoredException
from schemas.ledger import CreditRequest, CreditResultCode
from schemas.orders import FetchedRecord
from schemas.wire.isolation import ItemRange
from schemas.wire.payloads import BatchRun, ChunkRef
from schemas.wire.reasons import RELEASING_OUTCOMES, Outcome, ReasonCode
from schemas.wire.totals import OutcomeTotals
from settling import crediting, rerunning
from settling.crediting import AskForCredits
from tests.doubles.fund_platform.credits import MemoryCredits
from tests.doubles.settlement_store import chunks as memory_chunks
from tests.doubles.settlement_store.chunks import MemoryChunks
from workflows import chunk_runs, chunk_steps
from workflows.chunk_window import ChunkWindow

Planting = Callable[[ExitStack], None]


@contextmanager
def planted(name: str) -> Iterator[None]:
    """Plant one bug in Settle until the end of the block."""
    with ExitStack() as patches:
        PLANTED_BUGS[name](patches)
        yield


def _replace(patches: ExitStack, target: object, name: str, value: object) -> None:
    patches.enter_context(patch.object(target, name, value))


def _key_includes_the_batch_id(patches: ExitStack) -> None:
    original = crediting.ask_for_credits

    async def ask_for_credits(ask: AskForCredits, key: ChunkKey, *arguments: Any) -> dict[int, CreditResultCode]:
        end = f"@{key.batch_id}"

        async def ask_by_batch(reference: str, requests: Sequence[CreditRequest]) -> Mapping[str, CreditResultCode]:
            renamed = [request._replace(idempotency_key=request.idempotency_key + end) for request in requests]
            codes = await ask(reference, renamed)
            return {key.removesuffix(end): code for key, code in codes.items()}

        return await original(ask_by_batch, key, *arguments)

    _replace(patches, crediting, "ask_for_credits", ask_for_credits)


def _timeout_taken_for(code: CreditResultCode) -> Planting:
    """If the Fund Platform does not answer, Settle assumes this answer."""

    def plant(patches: ExitStack) -> None:
        original = crediting.ask_for_credits

        async def ask_for_credits(
            ask: AskForCredits, key: ChunkKey, items: Sequence[Item], within: ItemRange
        ) -> dict[int, CreditResultCode]:
            try:
                return await original(ask, key, items, within)
            except UnansweredError:
                return {item.item_no: code for item in items}

        _replace(patches, crediting, "ask_for_credits", ask_for_credits)

    return plant


def _window_slot_leaked(patches: ExitStack) -> None:
    """A chunk that is held never frees its slot in the window."""
    hold, slot_count = chunk_steps.hold_chunk, ChunkWindow._slot_count
    leaks: dict[str, int] = {}

    async def leaking_hold(ref: ChunkRef, detail: str) -> OutcomeTotals:
        leaks[ref.batch_id] = leaks.get(ref.batch_id, 0) + 1
        return await hold(ref, detail)

    def leaking_slot_count(self: ChunkWindow) -> int:
        return slot_count(self) - leaks.get(self._opening.batch_id, 0)

    _replace(patches, chunk_runs, "hold_chunk", leaking_hold)
    _replace(patches, ChunkWindow, "_slot_count", leaking_slot_count)


def _continue_as_new_moves_the_next_chunk(step: int) -> Planting:
    """The next run continues one chunk too early or too late."""

    def plant(patches: ExitStack) -> None:
        def moved(**fields: Any) -> BatchRun:
            run = BatchRun(**fields)
            if run.state is None:
                return run
            next_index = max(run.state.chunk_index_next + step, 0)
            return run.model_copy(update={"state": run.state.model_copy(update={"chunk_index_next": next_index})})

        patches.enter_context(patch("workflows.settle_batch.BatchRun", moved))

    return plant


def _late_validate_overwrites(patches: ExitStack) -> None:
    """A late validation stores its rejects although the chunk is in a later state."""

    async def store_validation(
        self: MemoryChunks, batch_id: str, chunk_index: int, rejects: Sequence[ExceptionItem]
    ) -> StoredValidation:
        contents, chunk = self.find_chunk(batch_id, chunk_index)
        new = [reject for reject in rejects if reject.item_no not in contents.exceptions]
        self.store_step(batch_id, chunk, max(chunk.state, ChunkState.VALIDATED, key=list(ChunkState).index), new)
        return StoredValidation(contents.totals_of(chunk), chunk.state == ChunkState.PLANNED)

    _replace(patches, MemoryChunks, "store_validation", store_validation)


def _lost_validation_credited(patches: ExitStack) -> None:
    """An attempt credits by its own validation, although another attempt's validation was stored."""
    original = MemoryChunks.store_validation

    async def store_validation(
        self: MemoryChunks, batch_id: str, chunk_index: int, exceptions: Sequence[ExceptionItem]
    ) -> StoredValidation:
        return (await original(self, batch_id, chunk_index, exceptions))._replace(is_new=True)

    _replace(patches, MemoryChunks, "store_validation", store_validation)


def _compare_and_set_left_out(patches: ExitStack) -> None:
    """The last attempt overwrites the outcomes that another attempt stored."""
    original = MemoryChunks.store_outcomes

    async def store_outcomes(
        self: MemoryChunks, batch_id: str, chunk_index: int, exceptions: Sequence[ExceptionItem]
    ) -> OutcomeTotals:
        contents, chunk = self.find_chunk(batch_id, chunk_index)
        if chunk.state == ChunkState.CLOSED:
            contents.chunks[chunk_index] = chunk._replace(state=ChunkState.VALIDATED)
            for exception in exceptions:
                contents.exceptions.pop(exception.item_no, None)
        return await original(self, batch_id, chunk_index, exceptions)

    _replace(patches, MemoryChunks, "store_outcomes", store_outcomes)


def _different_payload_taken_as_exists(patches: ExitStack) -> None:
    codes = crediting.SETTLED_CODES | {CreditResultCode.EXISTS_WITH_DIFFERENT_PAYLOAD}
    _replace(patches, crediting, "SETTLED_CODES", codes)


def _abort_holds_a_chunk_in_flight(patches: ExitStack) -> None:
    """An abort holds the rest immediately, without waiting for the chunks in flight."""
    has_news, take_results = ChunkWindow.has_news, ChunkWindow.take_results

    def hasty_has_news(self: ChunkWindow) -> bool:
        return self._operator.control.is_aborting or has_news(self)

    def hasty_take_results(self: ChunkWindow) -> str | None:
        pause_reason = take_results(self)
        if self._operator.control.is_aborting:
            self._in_flight.clear()
        return pause_reason

    _replace(patches, ChunkWindow, "has_news", hasty_has_news)
    _replace(patches, ChunkWindow, "take_results", hasty_take_results)


def _rerun_plans_an_unknown_outcome_anew(patches: ExitStack) -> None:
    def rerun_item(exception: StoredException, record: FetchedRecord | None) -> RerunItem:
        return original(exception._replace(reason_code=ReasonCode.NOT_ATTEMPTED), record)

    original = rerunning._rerun_item
    _replace(patches, rerunning, "_rerun_item", rerun_item)


def _refusal_not_stored(patches: ExitStack) -> None:
    original = MemoryCredits.post_credits

    async def post_credits(self: MemoryCredits, reference: str, requests: Sequence[CreditRequest]) -> Any:
        codes = await original(self, reference, requests)
        for key, stored in list(self.state.answers.items()):
            if stored.code != CreditResultCode.CREATED:
                del self.state.answers[key]
        return codes

    _replace(patches, MemoryCredits, "post_credits", post_credits)


def _claim_released_too_early(patches: ExitStack) -> None:
    """A held item releases its claim, as if its credit could no longer be posted."""
    _replace(patches, memory_chunks, "RELEASING_OUTCOMES", RELEASING_OUTCOMES | {Outcome.HELD})


def _lower_claim_no_accepted(patches: ExitStack) -> None:
    """The Fund Platform judges a request with a lower claim number than one that it refused."""
    original = MemoryCredits.post_credits

    async def post_credits(self: MemoryCredits, reference: str, requests: Sequence[CreditRequest]) -> Any:
        for request in requests:
            stored = self.state.answers.get(request.idempotency_key)
            if stored and stored.code != CreditResultCode.CREATED and stored.request.claim_no > request.claim_no:
                del self.state.answers[request.idempotency_key]
        return await original(self, reference, requests)

    _replace(patches, MemoryCredits, "post_credits", post_credits)


def _aborted_rerun_forgets_the_unknown(patches: ExitStack) -> None:
    """Items that are held before validation are NOT_ATTEMPTED even if an earlier credit may exist."""
    original = MemoryChunks.hold_chunk

    async def hold_chunk(self: MemoryChunks, batch_id: str, chunk_index: int, detail: str) -> OutcomeTotals:
        contents, chunk = self.find_chunk(batch_id, chunk_index)
        if chunk.state == ChunkState.PLANNED:
            for item_no in range(chunk.item_start, chunk.item_end):
                contents.items[item_no] = contents.items[item_no]._replace(inherits_unknown=False)
        return await original(self, batch_id, chunk_index, detail)

    _replace(patches, MemoryChunks, "hold_chunk", hold_chunk)


PLANTED_BUGS: Mapping[str, Planting] = MappingProxyType(
    {
        "key includes the batch id": _key_includes_the_batch_id,
        "timeout taken for failed": _timeout_taken_for(CreditResultCode.WITHDRAWN),
        "timeout taken for settled": _timeout_taken_for(CreditResultCode.CREATED),
        "window slot leaked": _window_slot_leaked,
        "continue-as-new repeats a chunk": _continue_as_new_moves_the_next_chunk(-1),
        "continue-as-new loses a chunk": _continue_as_new_moves_the_next_chunk(1),
        "late validate overwrites": _late_validate_overwrites,
        "lost validation credited": _lost_validation_credited,
        "compare-and-set left out": _compare_and_set_left_out,
        "different payload taken as exists": _different_payload_taken_as_exists,
        "abort holds a chunk in flight": _abort_holds_a_chunk_in_flight,
        "rerun plans an unknown outcome anew": _rerun_plans_an_unknown_outcome_anew,
        "refusal not stored": _refusal_not_stored,
        "claim released too early": _claim_released_too_early,
        "lower claim_no accepted": _lower_claim_no_accepted,
        "aborted rerun forgets the unknown": _aborted_rerun_forgets_the_unknown,
    }
)
