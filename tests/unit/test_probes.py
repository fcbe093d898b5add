"""If an order's credit cannot be requested, only the Fund Platform's answer decides its outcome."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from domain.errors import ChunkDataError, DataError, InvariantViolationError, NotSupportedError, UnansweredError
from domain.identifiers import credit_key
from fund_platform.port import FundPlatform
from order_center.port import OrderCenter
from schemas.chunks import ChunkKey
from schemas.items import Item, OfferedOrder, RerunItem
from schemas.ledger import AccountOpening, CreditRequest, CreditResultCode
from schemas.orders import FetchedRecord, OrderRecord, OrderStatus
from schemas.wire.isolation import Exclusions, IsolatedItem, ItemRange
from schemas.wire.reasons import Outcome, ReasonCode
from settlement_store.port import SettlementStore
from settling import validating
from settling.isolating import Probe, probe_credits, probe_validation
from settling.systems import Systems
from tests.doubles.fund_platform import MemoryFundPlatform
from tests.doubles.fund_platform.credits import MemoryCredits
from tests.doubles.order_center import MemoryOrderCenter
from tests.doubles.settlement_store import MemorySettlementStore
from tests.support.settlements import CALENDAR, replaced
from tests.support.settlements import kafka_opening_of as opening_of
from tests.support.steps import credit, turns_of, validate

ENDED_AT = datetime(2026, 1, 1, tzinfo=UTC)
CHUNK = ChunkKey("b", 0)
POISON = "o2"  # item 2 of the chunk
GOOD = Probe(is_bad=False)


class CursedOrderCenter(MemoryOrderCenter):
    """Cannot read the poison order's record."""

    async def fetch_records(self, order_ids: Sequence[str]) -> list[FetchedRecord]:
        if POISON in order_ids:
            raise DataError("a status that nobody knows")
        return await super().fetch_records(order_ids)


class CursedCredits(MemoryCredits):
    """Fails at the poison order's credit, before or after its effect, and at its withdrawal if asked to."""

    is_cursed = True
    has_effect = False
    withdraws = True

    async def post_credits(self, reference: str, requests: Sequence[CreditRequest]) -> Any:
        is_poison = self.is_cursed and any(request.idempotency_key == credit_key(POISON) for request in requests)
        if is_poison and not self.has_effect:
            raise DataError("cursed")
        answers = await super().post_credits(reference, requests)
        return {} if is_poison else answers

    async def withdraw_credits(self, reference: str, requests: Sequence[CreditRequest]) -> Any:
        if not self.withdraws:
            raise DataError("cursed again")
        return await super().withdraw_credits(reference, requests)


class CursedFundPlatform:
    """A Fund Platform whose credits are cursed."""

    def __init__(self) -> None:
        platform = MemoryFundPlatform()
        self.state, self.accounts, self.proof = platform.state, platform.accounts, platform.proof
        self.credits = CursedCredits(self.state)


@pytest.fixture
async def order_center() -> MemoryOrderCenter:
    order_center = CursedOrderCenter()
    await order_center.load_records(
        [OrderRecord(f"o{n}", "a", 100 + n, 0, "USD", OrderStatus.COMPLETED, ENDED_AT, ENDED_AT) for n in range(4)]
    )
    return order_center


@pytest.fixture
async def store() -> MemorySettlementStore:
    """A running batch of one chunk of four orders."""
    store = MemorySettlementStore()
    await store.filling.open_batch(opening_of("b", chunk_size=4))
    await store.filling.append_orders("b", [OfferedOrder(f"o{n}", "a", 100 + n, "USD") for n in range(4)])
    await store.filling.freeze_batch("b", CALENDAR)
    await store.batches.set_running("b")
    return store


@pytest.fixture
async def fund_platform() -> CursedFundPlatform:
    fund_platform = CursedFundPlatform()
    await fund_platform.accounts.open_accounts([AccountOpening("a", "USD")])
    return fund_platform


def isolated_of(outcome: Outcome, reason_code: ReasonCode | None, detail: str | None) -> Probe:
    isolated = IsolatedItem(item_no=2, outcome=outcome, reason_code=reason_code, detail=detail)
    return Probe(is_bad=True, isolated=isolated)


async def probe_judging(order_center: OrderCenter, store: SettlementStore, start: int, end: int) -> Probe:
    return await probe_validation(judged_by(order_center, store), CHUNK, ItemRange(start, end))


async def probe_crediting(store: SettlementStore, fund_platform: FundPlatform, start: int, end: int) -> Probe:
    systems = credited_by(store, fund_platform)
    return await probe_credits(systems, turns_of(systems), CHUNK, ItemRange(start, end))


def judged_by(order_center: OrderCenter, store: SettlementStore) -> Systems:
    return Systems(order_center, store, MemoryFundPlatform())


def credited_by(store: SettlementStore, fund_platform: FundPlatform) -> Systems:
    return Systems(MemoryOrderCenter(), store, fund_platform)


async def balance_of(fund_platform: FundPlatform) -> int:
    return (await fund_platform.accounts.fetch_account("a")).balance_minor


async def test_validation_fails_only_the_order_that_it_cannot_judge(
    order_center: MemoryOrderCenter, store: MemorySettlementStore
) -> None:
    with pytest.raises(ChunkDataError) as told:
        await validate(judged_by(order_center, store), CHUNK)
    assert (told.value.item_start, told.value.item_end) == (0, 4)
    assert await probe_judging(order_center, store, 0, 2) == GOOD
    assert await probe_judging(order_center, store, 2, 4) == Probe(is_bad=True)
    found = await probe_judging(order_center, store, 2, 3)
    assert found == isolated_of(Outcome.FAILED, ReasonCode.DATA_ERROR, "a status that nobody knows")
    assert found.isolated
    totals = await validate(
        judged_by(order_center, store),
        CHUNK,
        Exclusions(isolated=(found.isolated,), held_ranges=(ItemRange(3, 4),), held_detail="too many"),
    )
    assert (totals.failed.order_count, totals.held.order_count) == (1, 1)
    assert await store.batches.fetch_reason_counts("b") == {ReasonCode.DATA_ERROR: 1, ReasonCode.NOT_ATTEMPTED: 1}
    assert [
        item.order_id
        for item in await store.chunks.fetch_pending_items("b", (await store.chunks.fetch_chunk("b", 0)).items)
    ] == [
        "o0",
        "o1",
    ]
    assert await probe_judging(order_center, store, 2, 3) == GOOD, "another run has validated the chunk"


async def test_validation_neither_judges_nor_holds_an_order_that_inherits_the_unknown(
    order_center: MemoryOrderCenter, store: MemorySettlementStore
) -> None:
    await store.chunks.hold_chunk("b", 0, "lost")
    await store.filling.open_batch(opening_of("again", chunk_size=4))
    await store.filling.append_rerun_items("again", [RerunItem(POISON, 1, "a", 102, "USD", inherits_unknown=True)])
    await store.filling.freeze_batch("again", CALENDAR)
    await store.batches.set_running("again")
    again = CHUNK._replace(batch_id="again")
    await validate(judged_by(order_center, store), again, Exclusions(held_ranges=(ItemRange(0, 1),)))
    [pending] = await store.chunks.fetch_pending_items("again", (await store.chunks.fetch_chunk("again", 0)).items)
    assert pending.order_id == POISON


@pytest.fixture
async def validated(store: MemorySettlementStore) -> MemorySettlementStore:
    await store.chunks.store_validation("b", 0, [])
    return store


async def credit_without(
    store: MemorySettlementStore, fund_platform: FundPlatform, found: Probe
) -> tuple[int, dict[str, int]]:
    """Run the whole step without the isolated order. Return how many are settled, and the reasons of the others."""
    assert found.isolated
    totals = await credit(credited_by(store, fund_platform), CHUNK, Exclusions(isolated=(found.isolated,)))
    return totals.settled.order_count, await store.batches.fetch_reason_counts("b")


async def test_a_credit_that_cannot_be_asked_for_is_withdrawn_against_late_requests(
    validated: MemorySettlementStore, fund_platform: CursedFundPlatform
) -> None:
    with pytest.raises(ChunkDataError):
        await credit(credited_by(validated, fund_platform), CHUNK)
    assert await probe_crediting(validated, fund_platform, 0, 2) == GOOD
    assert await probe_crediting(validated, fund_platform, 2, 4) == Probe(is_bad=True)
    found = await probe_crediting(validated, fund_platform, 2, 3)
    assert found == isolated_of(Outcome.FAILED, ReasonCode.DATA_ERROR, "cursed")
    assert await credit_without(validated, fund_platform, found) == (3, {ReasonCode.DATA_ERROR: 1})
    fund_platform.credits.is_cursed = False
    late = CreditRequest(credit_key(POISON), 1, "a", 102, "USD")
    assert await fund_platform.credits.post_credits("late", [late]) == {
        late.idempotency_key: CreditResultCode.WITHDRAWN
    }
    assert await balance_of(fund_platform) == 100 + 101 + 103


async def test_a_step_that_finds_an_order_withdrawn_fails_it_without_being_told(
    validated: MemorySettlementStore, fund_platform: CursedFundPlatform
) -> None:
    """The workflow was terminated after the withdrawal, the bug was repaired, and the chunk started again."""
    await probe_crediting(validated, fund_platform, 2, 3)
    fund_platform.credits.is_cursed = False
    totals = await credit(credited_by(validated, fund_platform), CHUNK)
    assert (totals.settled.order_count, totals.failed.order_count) == (3, 1)


async def test_an_order_whose_credit_exists_is_settled_although_its_answer_cannot_be_read(
    validated: MemorySettlementStore, fund_platform: CursedFundPlatform
) -> None:
    fund_platform.credits.has_effect = True
    found = await probe_crediting(validated, fund_platform, 2, 3)
    assert found == isolated_of(Outcome.SETTLED, None, None)
    assert await credit_without(validated, fund_platform, found) == (4, {})
    assert await balance_of(fund_platform) == 100 + 101 + 102 + 103


async def test_an_order_that_can_be_neither_credited_nor_withdrawn_stays_unknown(
    validated: MemorySettlementStore, fund_platform: CursedFundPlatform
) -> None:
    fund_platform.credits.withdraws = False
    found = await probe_crediting(validated, fund_platform, 2, 3)
    detail = "cursed; withdrawing the credit failed too: cursed again"
    assert found == isolated_of(Outcome.HELD, ReasonCode.OUTCOME_UNKNOWN, detail)
    assert await credit_without(validated, fund_platform, found) == (3, {ReasonCode.OUTCOME_UNKNOWN: 1})


@pytest.mark.parametrize(
    ("stored", "outcome", "reason_code"),
    [
        ({"account_id": "nobody"}, Outcome.REJECTED, ReasonCode.ACCOUNT_NOT_FOUND),
        ({"amount_minor": 1}, Outcome.HELD, ReasonCode.PAYLOAD_CONFLICT),
    ],
    ids=["refused", "credited with another payload"],
)
async def test_an_order_that_was_answered_before_keeps_that_answer(
    validated: MemorySettlementStore,
    fund_platform: CursedFundPlatform,
    stored: dict[str, Any],
    outcome: Outcome,
    reason_code: ReasonCode,
) -> None:
    request = CreditRequest(credit_key(POISON), 1, "a", 102, "USD")._replace(**stored)
    await MemoryCredits(fund_platform.state).post_credits("before", [request])
    found = await probe_crediting(validated, fund_platform, 2, 3)
    assert found == isolated_of(outcome, reason_code, "cursed")
    assert await credit_without(validated, fund_platform, found) == (3, {reason_code: 1})


async def test_an_order_whose_claim_has_moved_on_is_good_only_if_its_chunk_is_closed(
    validated: MemorySettlementStore, fund_platform: CursedFundPlatform
) -> None:
    higher = CreditRequest(credit_key(POISON), 2, "nobody", 102, "USD")
    await MemoryCredits(fund_platform.state).post_credits("a later item", [higher])
    with pytest.raises(InvariantViolationError, match="superseded"):
        await probe_crediting(validated, fund_platform, 2, 3)

    async def fetch_chunk(batch_id: str, chunk_index: int) -> object:
        chunk = await validated.chunks.fetch_chunk(batch_id, chunk_index)
        await validated.chunks.hold_chunk(batch_id, chunk_index, "closed after this look")
        return chunk

    items = await validated.chunks.fetch_pending_items("b", (await validated.chunks.fetch_chunk("b", 0)).items)

    async def fetch_pending_items(*_: object) -> object:
        return items[2:3]

    late = replaced(replaced(validated, "fetch_chunk", fetch_chunk), "fetch_pending_items", fetch_pending_items)
    assert await probe_crediting(late, fund_platform, 2, 3) == GOOD


async def test_a_chunk_that_another_run_closed_is_not_asked_for(
    validated: MemorySettlementStore, fund_platform: CursedFundPlatform
) -> None:
    await validated.chunks.hold_chunk("b", 0, "terminated")
    assert await probe_crediting(validated, fund_platform, 2, 3) == GOOD
    assert fund_platform.state.answers == {}


@pytest.mark.parametrize("method", ["post_credits", "withdraw_credits"])
async def test_a_fund_platform_that_is_away_says_nothing_about_the_order(
    validated: MemorySettlementStore, fund_platform: CursedFundPlatform, method: str
) -> None:
    async def away(*_: object) -> object:
        raise ConnectionResetError("hung up")

    with pytest.raises(UnansweredError, match="hung up"):
        await probe_crediting(validated, replaced(fund_platform, method, away), 2, 3)


async def test_an_order_that_a_platform_cannot_withdraw_is_held(
    validated: MemorySettlementStore, fund_platform: CursedFundPlatform
) -> None:
    async def refuse(*_: object) -> object:
        raise NotSupportedError("This platform withdraws nothing.")

    found = await probe_crediting(validated, replaced(fund_platform, "withdraw_credits", refuse), 2, 3)
    detail = "cursed; the Fund Platform cannot withdraw the credit: This platform withdraws nothing."
    assert found == isolated_of(Outcome.HELD, ReasonCode.OUTCOME_UNKNOWN, detail)


@pytest.mark.parametrize("method", ["post_credits", "withdraw_credits"])
async def test_what_a_fund_platforms_port_does_not_know_is_no_answer_and_isolates_nobody(
    validated: MemorySettlementStore, fund_platform: CursedFundPlatform, method: str
) -> None:
    async def answer_with_a_page(*_: object) -> object:
        raise ValueError("Expecting value: <html>")

    with pytest.raises(UnansweredError, match=r"does not define.*<html>"):
        await probe_crediting(validated, replaced(fund_platform, method, answer_with_a_page), 2, 3)


async def test_what_an_order_centers_port_does_not_know_is_no_answer_and_isolates_nobody(
    order_center: MemoryOrderCenter, store: MemorySettlementStore
) -> None:
    async def answer_with_a_page(*_: object) -> object:
        raise KeyError("orders")

    with pytest.raises(UnansweredError, match=r"does not define.*orders"):
        await probe_judging(replaced(order_center, "fetch_records", answer_with_a_page), store, 0, 1)


async def test_a_bug_of_the_rules_isolates_the_order_that_meets_it(
    store: MemorySettlementStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_rejects(items: Sequence[Item], *_: object) -> list[object]:
        raise RuntimeError(f"a bug in the rules at {len(items)} items")

    monkeypatch.setattr(validating, "find_rejects", find_rejects)
    found = await probe_judging(MemoryOrderCenter(), store, 2, 3)
    assert found == isolated_of(Outcome.FAILED, ReasonCode.DATA_ERROR, "RuntimeError: a bug in the rules at 1 items")
