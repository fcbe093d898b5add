"""With a Fund Platform that offers no proof of its ledger and no withdrawal, Settle works and reports the gaps."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import pytest

from domain.errors import DataError, NotSupportedError
from domain.identifiers import credit_key
from schemas.chunks import ChunkKey
from schemas.items import OfferedOrder
from schemas.ledger import AccountOpening, CreditRequest, CreditResultCode
from schemas.orders import OrderRecord, OrderStatus
from schemas.wire.batches import BatchState
from schemas.wire.isolation import Exclusions, ItemRange
from schemas.wire.reasons import Outcome, ReasonCode
from settling.auditing import audit
from settling.balancing import check_balance, close_batch
from settling.isolating import probe_credits
from settling.order_life import fetch_order_life
from settling.systems import Systems
from tests.doubles.fund_platform.accounts import MemoryAccounts
from tests.doubles.fund_platform.credits import MemoryCredits
from tests.doubles.fund_platform.ledger_state import FundPlatformState
from tests.doubles.order_center import MemoryOrderCenter
from tests.doubles.settlement_store import MemorySettlementStore
from tests.support.settlements import CALENDAR
from tests.support.settlements import kafka_opening_of as opening_of
from tests.support.steps import credit, turns_of, validate

ENDED_AT = datetime(2026, 1, 1, tzinfo=UTC)
CHUNK = ChunkKey("b", 0)
POISON_NO = 2


class BareCredits(MemoryCredits):
    """Cannot take the poison order's credit, and withdraws nothing."""

    async def post_credits(self, reference: str, requests: Sequence[CreditRequest]) -> Mapping[str, CreditResultCode]:
        if any(request.idempotency_key == credit_key(f"o{POISON_NO}") for request in requests):
            raise DataError("cursed")
        return await super().post_credits(reference, requests)

    async def withdraw_credits(self, *_: object) -> Mapping[str, CreditResultCode]:
        raise NotSupportedError("This platform withdraws nothing.")


class BarePlatform:
    """Has credits and accounts, but no proof."""

    def __init__(self) -> None:
        self.state = FundPlatformState()
        self.credits = BareCredits(self.state)
        self.accounts = MemoryAccounts(self.state)
        self.proof = None


@pytest.fixture
async def platform() -> BarePlatform:
    platform = BarePlatform()
    await platform.accounts.open_accounts([AccountOpening("a", "USD")])
    return platform


@pytest.fixture
async def systems(platform: BarePlatform) -> Systems:
    """A closed chunk of four orders: three are settled, and the poison order is held."""
    systems = Systems(MemoryOrderCenter(), MemorySettlementStore(), platform)
    records = [
        OrderRecord(f"o{n}", "a", 100 + n, 0, "USD", OrderStatus.COMPLETED, ENDED_AT, ENDED_AT) for n in range(4)
    ]
    await systems.order_center.load_records(records)
    await systems.store.filling.open_batch(opening_of("b", chunk_size=4))
    offered = [OfferedOrder(record.order_id, "a", record.paid_minor, "USD") for record in records]
    await systems.store.filling.append_orders("b", offered)
    await systems.store.filling.freeze_batch("b", CALENDAR)
    await systems.store.batches.set_running("b")
    await validate(systems, CHUNK)
    alone = ItemRange(POISON_NO, POISON_NO + 1)
    probe = await probe_credits(systems, turns_of(systems), CHUNK, alone)
    assert probe.isolated
    await credit(systems, CHUNK, Exclusions(isolated=(probe.isolated,)))
    return systems


async def test_an_order_that_can_be_neither_credited_nor_withdrawn_is_held(systems: Systems) -> None:
    [held] = await systems.store.filling.fetch_exceptions("b", -1, 10)
    assert (held.item_no, held.outcome, held.reason_code) == (POISON_NO, Outcome.HELD, ReasonCode.OUTCOME_UNKNOWN)


async def test_a_batch_is_balanced_by_look_ups_of_its_keys(systems: Systems) -> None:
    assert await close_batch(systems.store, systems.fund_platform, "b") == BatchState.CLOSED
    report = await check_balance(systems.store, systems.fund_platform, "b")
    assert report.balanced
    assert (report.settled.order_count, report.held.order_count) == (3, 1)
    assert report.ledger == report.settled


async def test_a_batch_with_a_credit_too_few_does_not_balance(systems: Systems, platform: BarePlatform) -> None:
    platform.state.postings.pop(0)
    assert await close_batch(systems.store, systems.fund_platform, "b") == BatchState.OUT_OF_BALANCE


async def test_the_audit_holds_orders_to_their_credits_and_says_what_it_could_not_look_at(
    systems: Systems, platform: BarePlatform
) -> None:
    report = await audit(systems.store, systems.fund_platform)
    assert report.ok
    assert report.ledger == report.settled
    [not_looked_at] = report.not_looked_at
    assert "offers no proof of its ledger" in not_looked_at
    platform.state.postings.pop(0)
    broken = await audit(systems.store, systems.fund_platform)
    assert [(each.kind, each.id) for each in broken.breaks] == [("settled_without_credit", "o0")]


async def test_an_orders_life_has_its_credit_and_says_what_is_not_shown(systems: Systems) -> None:
    life = await fetch_order_life(systems, "o1")
    assert life.breaks == []
    [posting] = life.credit.postings
    assert (posting.amount_minor, posting.entry_id, life.credit.answer) == (101, None, None)
    assert life.credit_not_looked_at is not None
    assert "settled" in life.answer
