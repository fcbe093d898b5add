"""If an order's record changes between two steps, every step uses the payload that was frozen."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from domain import limits
from domain.identifiers import credit_key
from schemas.chunks import ChunkKey
from schemas.ledger import CreditRequest
from schemas.orders import FetchedRecord, OrderRecord
from schemas.wire.batches import BatchState
from schemas.wire.reasons import ReasonCode
from settling.balancing import check_balance
from settling.rerunning import freeze_rerun
from settling.systems import Systems
from tests.support.settlements import (
    CALENDAR,
    freeze,
    opening_of,
    proof_of,
    replaced,
    require_clean,
    rerun_opening_of,
    seed_orders,
)
from tests.support.steps import credit, validate

ORDER_COUNT = 4
CHUNK_REF_INDEX = 0

Change = Callable[[], Awaitable[None]]


@pytest.fixture
async def records(systems: Systems) -> list[OrderRecord]:
    return (await seed_orders(systems, ORDER_COUNT, bad_rate=0)).records


class Day:
    """One batch of one chunk, step by step. Records may change before each step."""

    def __init__(self, systems: Systems, batch_id: str) -> None:
        self.systems = systems
        self.opening = opening_of(batch_id, chunk_size=100, window=1)

    async def freeze(self, *, after_read: Change | None = None) -> None:
        async def fetch_overdue_slice(*arguments: object) -> object:
            found = await self.systems.order_center.fetch_overdue_slice(*arguments)  # type: ignore[arg-type]
            if after_read and found.orders:
                await after_read()
            return found

        reading = replaced(self.systems.order_center, "fetch_overdue_slice", fetch_overdue_slice)
        await freeze(replace(self.systems, order_center=reading), self.opening)
        await self.systems.store.batches.set_running(self.opening.batch_id)

    async def validate(self) -> None:
        await validate(self.systems, self._ref())

    async def credit(self) -> None:
        await credit(self.systems, self._ref())

    async def close(self) -> dict[str, int]:
        report = await check_balance(self.systems.store, self.systems.fund_platform, self.opening.batch_id)
        closed = await self.systems.store.batches.close_batch(report)
        assert closed.state == BatchState.CLOSED
        return report.reasons

    async def conflict_count(self) -> int:
        return (await self.systems.store.batches.fetch_batch(self.opening.batch_id)).conflict_count

    async def whole(self) -> dict[str, int]:
        """Run all steps with no changes in between, and return the reasons."""
        await self.freeze()
        if (await self.systems.store.batches.fetch_batch(self.opening.batch_id)).item_count:
            await self.validate()
            await self.credit()
        return await self.close()

    def _ref(self) -> ChunkKey:
        return ChunkKey(self.opening.batch_id, CHUNK_REF_INDEX)


class Rerun(Day):
    """A rerun of a day's exception items, step by step."""

    def __init__(self, systems: Systems, batch_id: str, rerun_of: str) -> None:
        super().__init__(systems, batch_id)
        self.opening = rerun_opening_of(batch_id, rerun_of)

    async def freeze(self, *, after_read: Change | None = None) -> None:
        assert after_read is None
        store = self.systems.store
        await freeze_rerun(self.systems, self.opening, CALENDAR, -1, on_slice=lambda _: None)
        await store.batches.set_running(self.opening.batch_id)


def amount_of(record: OrderRecord) -> int:
    return record.paid_minor - record.refunded_minor


async def credits_of(systems: Systems) -> dict[str, int]:
    return {
        each.idempotency_key: each.amount_minor for each in await proof_of(systems.fund_platform).fetch_credits("", 100)
    }


@pytest.fixture
def changed(records: list[OrderRecord]) -> list[OrderRecord]:
    """Return the record with half of the amount refunded."""
    return [record._replace(refunded_minor=record.paid_minor // 2) for record in records]


@pytest.mark.parametrize("gap", ["announcement-freezing", "freezing-validation"])
async def test_an_order_changed_before_its_validation_is_settled_as_changed_by_the_next(
    systems: Systems, records: list[OrderRecord], changed: list[OrderRecord], gap: str
) -> None:
    async def change() -> None:
        await systems.order_center.load_records(changed)

    first = Day(systems, "first")
    if gap == "announcement-freezing":
        await first.freeze(after_read=change)
    else:
        await first.freeze()
        await change()
    await first.validate()
    await first.credit()
    assert await first.close() == {ReasonCode.AMOUNT_DIFFERS: ORDER_COUNT}
    assert await credits_of(systems) == {}

    assert await Day(systems, "second").whole() == {}
    assert await credits_of(systems) == {credit_key(record.order_id): amount_of(record) for record in changed}
    await require_clean(systems, ORDER_COUNT)
    assert await Day(systems, "third").whole() == {}
    assert (await systems.store.batches.fetch_batch("third")).item_count == 0


async def test_an_order_changed_after_its_validation_is_credited_as_frozen_and_conflicts(
    systems: Systems, records: list[OrderRecord], changed: list[OrderRecord]
) -> None:
    first, during, after, later = (Day(systems, name) for name in ("first", "during", "after", "later"))
    await first.freeze()
    await first.validate()
    await systems.order_center.load_records(changed)
    # A run that offers orders without an outcome counts conflicts but acknowledges nothing.
    assert await during.whole() == {}
    await first.credit()
    assert await first.close() == {}
    assert await after.whole() == {}
    assert await later.whole() == {}
    assert [await day.conflict_count() for day in (first, during, after, later)] == [0, ORDER_COUNT, ORDER_COUNT, 0]
    assert await credits_of(systems) == {credit_key(record.order_id): amount_of(record) for record in records}
    await require_clean(systems, ORDER_COUNT)


@pytest.mark.parametrize("field", ["status", "after_sale_ends_at", "account_id"])
async def test_any_change_before_validation_that_a_rule_is_about_rejects_the_frozen_order(
    systems: Systems, records: list[OrderRecord], field: str
) -> None:
    change, reason = {
        "status": ({"status": "disputed"}, ReasonCode.ORDER_DISPUTED),
        "after_sale_ends_at": (
            {"after_sale_ends_at": opening_of("x", chunk_size=1, window=1).cutoff_at},
            ReasonCode.AFTER_SALE_NOT_OVER,
        ),
        "account_id": ({"account_id": "someone-else"}, ReasonCode.ACCOUNT_DIFFERS),
    }[field]
    day = Day(systems, "first")
    await day.freeze()
    await systems.order_center.load_records([record._replace(**change) for record in records])  # type: ignore[arg-type]
    await day.validate()
    await day.credit()
    assert await day.close() == {reason: ORDER_COUNT}
    await require_clean(systems, ORDER_COUNT)


@pytest.mark.parametrize("known_at_ask", [2, len(limits.UNKNOWN_ORDER_PAUSES_S) + 1, None])
async def test_an_order_whose_record_comes_late_is_asked_for_until_the_last_time(
    systems: Systems, records: list[OrderRecord], monkeypatch: pytest.MonkeyPatch, known_at_ask: int | None
) -> None:
    monkeypatch.setattr(limits, "UNKNOWN_ORDER_PAUSES_S", (0.001,) * len(limits.UNKNOWN_ORDER_PAUSES_S))
    late = {records[0].order_id, records[1].order_id}
    asked: list[list[str]] = []

    async def fetch_records(order_ids: list[str]) -> Sequence[FetchedRecord]:
        asked.append(order_ids)
        is_known = known_at_ask is not None and len(asked) >= known_at_ask
        visible = [order_id for order_id in order_ids if is_known or order_id not in late]
        return await systems.order_center.fetch_records(visible)

    day = Day(replace(systems, order_center=replaced(systems.order_center, "fetch_records", fetch_records)), "first")
    await day.freeze()
    await day.validate()
    await day.credit()
    ask_count = known_at_ask or len(limits.UNKNOWN_ORDER_PAUSES_S) + 1
    assert await day.close() == ({} if known_at_ask else {ReasonCode.ORDER_UNKNOWN: len(late)})
    assert [sorted(each) for each in asked[1:]] == [sorted(late)] * (ask_count - 1)
    await require_clean(systems, ORDER_COUNT)


async def test_a_rerun_leaves_an_order_whose_period_is_not_over_yet_to_the_run_of_its_day(
    systems: Systems, records: list[OrderRecord]
) -> None:
    ends_at = datetime.now(UTC) + timedelta(days=30)
    first = Day(systems, "first")
    await first.freeze()
    await systems.order_center.load_records([record._replace(after_sale_ends_at=ends_at) for record in records])
    await first.validate()
    await first.credit()
    assert await first.close() == {ReasonCode.AFTER_SALE_NOT_OVER: ORDER_COUNT}

    assert await Rerun(systems, "rerun", "first").whole() == {ReasonCode.AFTER_SALE_NOT_OVER: ORDER_COUNT}
    offered = await systems.order_center.fetch_overdue_slice(ends_at + timedelta(days=1), None, 100)
    assert {order.order_id for order in offered.orders} == {record.order_id for record in records}


async def test_a_rerun_of_the_frozen_payload_leaves_the_changed_record_to_be_counted(
    systems: Systems, records: list[OrderRecord]
) -> None:
    await systems.fund_platform.credits.post_credits(
        "a test",
        [
            CreditRequest(credit_key(record.order_id), 1, record.account_id, amount_of(record) + 1, record.currency)
            for record in records
        ],
    )
    assert await Day(systems, "first").whole() == {ReasonCode.PAYLOAD_CONFLICT: ORDER_COUNT}
    await systems.order_center.load_records([record._replace(refunded_minor=record.paid_minor) for record in records])

    assert await Rerun(systems, "rerun", "first").whole() == {ReasonCode.PAYLOAD_CONFLICT: ORDER_COUNT}
    after, later = Day(systems, "after"), Day(systems, "later")
    await after.whole()
    await later.whole()
    assert (await after.conflict_count(), await later.conflict_count()) == (ORDER_COUNT, 0)
    await require_clean(systems, ORDER_COUNT)
