"""The contract of the settlement store's port for turns to send credits."""

import asyncio

import pytest

from domain import limits
from domain.errors import BatchNotFoundError
from schemas.credit_turns import CreditTurn
from settlement_store.port import SettlementStore
from tests.contract.settlement_batches import opening_of

NOW = CreditTurn(is_taken=True, wait_s=0)
# A chunk takes hours at this cap, so a test's own run time is negligible, even on a busy machine.
SLOW = 1
CHUNK = 10_000


@pytest.fixture(autouse=True)
def _far_promises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CREDIT_PROMISE_S_MAX", 10 * CHUNK)


async def take(
    store: SettlementStore, batch_id: str, credits_per_s: int | None = None, order_count: int = CHUNK
) -> CreditTurn:
    return await store.caps.take_credits(batch_id, order_count, credits_per_s, is_promised=False)


async def test_without_a_cap_every_turn_begins_now(store: SettlementStore) -> None:
    await store.filling.open_batch(opening_of())
    assert [await take(store, "B1", order_count=10_000) for _ in range(3)] == [NOW] * 3


async def test_the_first_turn_begins_now_and_the_next_when_the_first_is_paid_for(store: SettlementStore) -> None:
    await store.filling.open_batch(opening_of())
    first, second = await take(store, "B1", SLOW), await take(store, "B1", SLOW)
    assert first == NOW
    assert not second.is_taken
    assert CHUNK / SLOW - 1_000 < second.wait_s < CHUNK / SLOW / limits.CREDIT_PACE
    assert second.is_promised


async def test_those_who_wait_are_told_to_come_one_after_the_other(store: SettlementStore) -> None:
    await store.filling.open_batch(opening_of())
    await take(store, "B1", SLOW)
    waits_s = [(await take(store, "B1", SLOW)).wait_s for _ in range(3)]
    assert [round(wait_s * SLOW * limits.CREDIT_PACE / CHUNK, 1) for wait_s in waits_s] == [1, 2, 3]


async def test_who_is_promised_a_turn_that_is_late_waits_on_the_spot(
    store: SettlementStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CREDIT_TURN_WAIT_S_MAX", 3 * CHUNK)
    await store.filling.open_batch(opening_of())
    await take(store, "B1", SLOW, order_count=2 * CHUNK)
    for _ in range(2):
        turn = await store.caps.take_credits("B1", CHUNK, SLOW, is_promised=True)
        assert not turn.is_taken
        assert turn.wait_s < 2 * CHUNK / SLOW / limits.CREDIT_PACE - limits.CREDIT_TURN_AHEAD_S / 2


async def test_a_batchs_own_cap_holds_for_that_batch_alone(store: SettlementStore) -> None:
    assert (await store.filling.open_batch(opening_of("B1", credits_per_s=SLOW))).credits_per_s == SLOW
    await store.filling.open_batch(opening_of("B2"))
    await store.filling.open_batch(opening_of("B3", credits_per_s=SLOW))
    assert await take(store, "B1") == NOW
    assert not (await take(store, "B1")).is_taken
    assert await take(store, "B2") == NOW
    assert await take(store, "B3") == NOW


async def test_the_installations_cap_holds_for_all_batches_together(store: SettlementStore) -> None:
    await store.filling.open_batch(opening_of("B1"))
    await store.filling.open_batch(opening_of("B2"))
    assert await take(store, "B1", SLOW) == NOW
    assert not (await take(store, "B2", SLOW)).is_taken


async def test_a_turn_that_one_cap_refuses_is_not_taken_from_the_other(store: SettlementStore) -> None:
    await store.filling.open_batch(opening_of("B1", credits_per_s=SLOW))
    await store.filling.open_batch(opening_of("B2"))
    assert await take(store, "B1") == NOW
    assert not (await take(store, "B1", SLOW)).is_taken
    assert await take(store, "B2", SLOW) == NOW


async def test_of_those_who_ask_at_once_one_has_the_turn(store: SettlementStore) -> None:
    await store.filling.open_batch(opening_of("B1", credits_per_s=SLOW))
    await store.filling.open_batch(opening_of("B2", credits_per_s=SLOW))
    turns = await asyncio.gather(*(take(store, batch_id, SLOW) for batch_id in ("B1", "B2") * 5))
    assert [turn for turn in turns if turn.is_taken] == [NOW]


async def test_a_batch_that_is_not_there_has_no_turn(store: SettlementStore) -> None:
    with pytest.raises(BatchNotFoundError, match="nowhere"):
        await take(store, "nowhere", SLOW)
