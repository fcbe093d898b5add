"""The contract of the settlement store's port for operator control."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain import limits
from domain.control_totals import sum_outcome_totals
from domain.errors import BatchNotFoundError, ControlRefusedError
from schemas.wire.batches import BatchState
from schemas.wire.control import BatchControl, ControlAction, ControlRequest
from settlement_store.port import SettlementStore
from tests.contract.settlement_batches import (
    ORDER_IDS,
    close_batch,
    deliver_all,
    failed,
    opening_of,
    orders_of,
    rejected,
    run_batch,
    settle,
)
from tests.support.settlements import CALENDAR

HOUR_S = 3600.0
PAUSE, RESUME, ABORT, WINDOW = ControlAction


def request_of(action: ControlAction, batch_id: str = "B1", **changes: Any) -> ControlRequest:
    request = ControlRequest(batch_id=batch_id, action=action, requested_by="ann", reason="why")
    return request.model_copy(update=changes)


async def actions_of(store: SettlementStore) -> list[tuple[int, ControlAction, int | None, str, str | None]]:
    stored = await store.control.fetch_control_actions("B1")
    return [(each.action_no, each.action, each.window, each.requested_by, each.reason) for each in stored]


async def states_of(store: SettlementStore) -> set[BatchState]:
    """Return a batch's state from every method that returns it."""
    return {
        (await store.batches.fetch_batch("B1")).state,
        (await store.batches.fetch_batches(1))[0].state,
        (await store.batches.fetch_unclosed_batches())[0].batch.state,
        (await store.filling.open_batch(opening_of())).state,
        (await store.batches.fetch_progress("B1")).state,
        (await store.orders.fetch_items_of_order("O0"))[0].batch_state,
        (await store.batches.set_running("B1")).state,
    }


class TestControl:
    async def test_a_batch_that_nobody_asked_anything_of_has_its_own_window(self, store: SettlementStore) -> None:
        plan = await store.batches.set_running(await run_batch(store, orders_of("O0")))
        assert plan.control == await store.control.fetch_control("B1") == BatchControl(window=2)
        assert await store.control.fetch_control_actions("B1") == []

    async def test_an_attempt_made_again_does_not_undo_what_was_asked_for_since(self, store: SettlementStore) -> None:
        await store.batches.set_running(await run_batch(store, orders_of("O0")))
        pause = request_of(PAUSE, action_no_seen=0)
        paused = await store.control.control_batch(pause)
        assert await store.control.control_batch(pause) == paused
        resumed = await store.control.control_batch(request_of(RESUME, action_no_seen=paused.action_no))
        assert await store.control.control_batch(pause) == resumed
        assert [action for _, action, *_ in await actions_of(store)] == [PAUSE, RESUME]

    async def test_a_pause_shows_everywhere_and_is_over_after_a_resume(self, store: SettlementStore) -> None:
        await run_batch(store, orders_of("O0"))
        paused = await store.control.control_batch(request_of(PAUSE))
        assert paused == BatchControl(is_paused=True, window=2, action_no=1, reason="why")
        assert await store.control.fetch_control("B1") == paused
        assert await states_of(store) == {BatchState.PAUSED}
        resumed = await store.control.control_batch(request_of(RESUME, reason=None))
        assert resumed == BatchControl(window=2, action_no=2, is_resumed=True)
        assert await store.control.fetch_control("B1") == (await store.batches.set_running("B1")).control == resumed
        assert await states_of(store) == {BatchState.RUNNING}

    async def test_actions_are_kept_with_who_when_and_why_in_their_order(self, store: SettlementStore) -> None:
        await run_batch(store, orders_of("O0"))
        before = datetime.now(UTC) - timedelta(minutes=1)
        for request in (
            request_of(PAUSE),
            request_of(WINDOW, window=7, requested_by="bob"),
            request_of(RESUME, reason=None),
            request_of(ABORT, reason="enough"),
        ):
            await store.control.control_batch(request)
        assert await actions_of(store) == [
            (1, PAUSE, None, "ann", "why"),
            (2, WINDOW, 7, "bob", "why"),
            (3, RESUME, None, "ann", None),
            (4, ABORT, None, "ann", "enough"),
        ]
        assert all(
            before < each.stored_at < datetime.now(UTC) for each in await store.control.fetch_control_actions("B1")
        )
        assert await store.control.fetch_control("B1") == BatchControl(
            is_aborting=True, window=7, action_no=4, is_resumed=True, reason="enough"
        )

    @pytest.mark.parametrize("request_", [request_of(PAUSE), request_of(ABORT), request_of(WINDOW, window=7)])
    async def test_an_action_asked_for_twice_at_once_is_kept_once(
        self, store: SettlementStore, request_: ControlRequest
    ) -> None:
        await run_batch(store, orders_of("O0"))
        answers = await asyncio.gather(*(store.control.control_batch(request_) for _ in range(4)))
        again = await store.control.control_batch(
            request_.model_copy(update={"requested_by": "bob", "reason": "later"})
        )
        assert [*answers, again] == [again] * 5
        assert [each.requested_by for each in await store.control.fetch_control_actions("B1")] == ["ann"]

    @pytest.mark.parametrize("request_", [request_of(RESUME), request_of(WINDOW, window=2)])
    async def test_what_holds_already_is_not_kept(self, store: SettlementStore, request_: ControlRequest) -> None:
        await run_batch(store, orders_of("O0"))
        assert await store.control.control_batch(request_) == BatchControl(window=2)
        assert await store.control.fetch_control_actions("B1") == []

    async def test_an_abort_ends_a_pause_and_nothing_follows_it(self, store: SettlementStore) -> None:
        await run_batch(store, orders_of("O0"))
        await store.control.control_batch(request_of(PAUSE))
        await store.control.control_batch(request_of(ABORT))
        assert (await store.batches.fetch_batch("B1")).state == BatchState.RUNNING
        for request in (request_of(PAUSE), request_of(RESUME), request_of(WINDOW, window=5)):
            with pytest.raises(ControlRefusedError, match="being aborted"):
                await store.control.control_batch(request)
        assert len(await store.control.fetch_control_actions("B1")) == 2

    @pytest.mark.parametrize("action", ControlAction)
    async def test_a_final_batch_takes_no_action(self, store: SettlementStore, action: ControlAction) -> None:
        await close_batch(store, await settle(store, ["O1"], "B1"))
        with pytest.raises(ControlRefusedError, match="is closed, which is final"):
            await store.control.control_batch(request_of(action, window=3))
        assert await store.control.fetch_control_actions("B1") == []

    async def test_a_batch_that_is_not_there_is_told(self, store: SettlementStore) -> None:
        for call in (
            store.control.control_batch(request_of(PAUSE)),
            store.control.fetch_control("B1"),
            store.control.fetch_control_actions("B1"),
            store.chunks.fetch_unclosed_chunks("B1", -1, 10),
            store.chunks.fetch_outcome_totals("B1"),
        ):
            with pytest.raises(BatchNotFoundError):
                await call

    async def test_an_action_before_the_batch_runs_holds_when_it_does(self, store: SettlementStore) -> None:
        await store.filling.open_batch(opening_of())
        await store.filling.append_orders("B1", orders_of("O0"))
        await store.control.control_batch(request_of(PAUSE))
        assert (await store.batches.fetch_batch("B1")).state == BatchState.OPEN
        await store.filling.freeze_batch("B1", CALENDAR)
        assert (await store.batches.fetch_batch("B1")).state == BatchState.FROZEN
        plan = await store.batches.set_running("B1")
        assert (plan.state, plan.control.is_paused) == (BatchState.PAUSED, True)

    async def test_no_more_actions_are_read_than_the_bound(
        self, store: SettlementStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "CONTROL_ACTIONS_SHOWN_MAX", 2)
        await run_batch(store, orders_of("O0"))
        for action in (PAUSE, RESUME, PAUSE):
            await store.control.control_batch(request_of(action))
        assert [each.action_no for each in await store.control.fetch_control_actions("B1")] == [2, 3]

    async def test_a_paused_batch_is_no_backlog(self, store: SettlementStore) -> None:
        await run_batch(store, orders_of(*ORDER_IDS))
        await run_batch(store, orders_of("O8", "O9"), batch_id="B2")
        await store.control.control_batch(request_of(PAUSE))
        assert await store.batches.fetch_backlog_order_count(HOUR_S) == 2
        await store.control.control_batch(request_of(RESUME))
        assert await store.batches.fetch_backlog_order_count(HOUR_S) == 7


class TestAbort:
    async def test_the_chunks_that_are_left_come_slice_by_slice(self, store: SettlementStore) -> None:
        await run_batch(store, orders_of(*(f"O{n}" for n in range(9))), chunk_size=2)  # 5 chunks
        await store.chunks.hold_chunk("B1", 2, "why")
        await store.chunks.store_validation("B1", 3, [])
        assert await store.chunks.fetch_unclosed_chunks("B1", -1, 2) == [0, 1]
        assert await store.chunks.fetch_unclosed_chunks("B1", 1, 2) == [3, 4]
        assert await store.chunks.fetch_unclosed_chunks("B1", 4, 2) == []

    async def test_a_batchs_outcomes_are_the_sum_of_its_chunks(self, store: SettlementStore) -> None:
        await run_batch(store, orders_of(*ORDER_IDS))  # 5 items in chunks of 3
        first, _ = await store.chunks.store_validation("B1", 0, [rejected(0)])
        assert await store.chunks.fetch_outcome_totals("B1") == first
        first = await store.chunks.store_outcomes("B1", 0, [failed(1)])
        second = await store.chunks.hold_chunk("B1", 1, "why")
        assert await store.chunks.fetch_outcome_totals("B1") == sum_outcome_totals([first, second])

    @pytest.mark.parametrize(
        ("balanced", "state"), [(True, BatchState.ABORTED), (False, BatchState.OUT_OF_BALANCE)], ids=str
    )
    async def test_a_batch_that_is_being_aborted_is_closed_as_such_if_it_balances(
        self, store: SettlementStore, state: BatchState, *, balanced: bool
    ) -> None:
        await run_batch(store, orders_of("O0"))
        await store.control.control_batch(request_of(ABORT))
        await store.chunks.hold_chunk("B1", 0, "why")
        closed = await close_batch(store, "B1", balanced=balanced)
        assert closed.state == state
        assert closed.closed_at
        assert await close_batch(store, "B1") == closed
        assert await store.batches.fetch_unclosed_batches() == []
        assert await store.audit.fetch_store_breaks(10) == []

    async def test_an_aborted_batch_is_retired_like_a_closed_one(self, store: SettlementStore) -> None:
        await settle(store, ["O1"], "B1")
        await store.control.control_batch(request_of(ABORT))
        await close_batch(store, "B1")
        await deliver_all(store)
        assert [each.batch_id for each in await store.pruning.fetch_retired_batches(timedelta(0), None, 10)] == ["B1"]
