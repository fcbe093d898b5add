"""A closed batch's report never changes, and what came since agrees with the orders' later items and the ledger."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.control_totals import sum_totals, totals_of
from domain.errors import InvariantViolationError
from domain.identifiers import credit_key
from schemas.item_outcomes import PENDING
from schemas.items import ExceptionItem, OfferedOrder
from schemas.ledger import AccountOpening, CreditRequest
from schemas.wire.batches import BatchOpening, BatchSource, BatchState
from schemas.wire.reasons import Outcome, ReasonCode
from schemas.wire.reports import BatchReport
from schemas.wire.totals import ControlTotals
from settling.balancing import check_balance, close_batch
from settling.pruning import KeptBecause, prune_batches
from settling.reporting import fetch_report
from settling.systems import Systems
from tests.doubles.fund_platform import MemoryFundPlatform
from tests.doubles.order_center import MemoryOrderCenter
from tests.doubles.settlement_store import MemorySettlementStore
from tests.support.settlements import CALENDAR, replaced

CUTOFF_AT = datetime(2026, 11, 22, tzinfo=UTC)
FATES = ("settled", "rejected", "failed", "held", "held, credited")
REASONS = {
    Outcome.REJECTED: ReasonCode.ORDER_DISPUTED,
    Outcome.FAILED: ReasonCode.DATA_ERROR,
    Outcome.HELD: ReasonCode.OUTCOME_UNKNOWN,
}
fates = st.sampled_from(FATES)


class Days:
    """Batches, one per day, over orders with given outcomes."""

    def __init__(self) -> None:
        self.store = MemorySettlementStore()
        self.systems = Systems(MemoryOrderCenter(), self.store, MemoryFundPlatform())

    async def begin(self, batch_id: str, orders: Sequence[OfferedOrder]) -> None:
        """Make a running batch of orders."""
        await self.systems.fund_platform.accounts.open_accounts([AccountOpening(each, each) for each in ("USD", "PTS")])
        await self.store.filling.open_batch(
            BatchOpening(
                batch_id=batch_id,
                source=BatchSource.MANUAL,
                business_date=CUTOFF_AT.date(),
                cutoff_at=CUTOFF_AT,
                chunk_size=1_000,
                window=1,
            )
        )
        await self.store.filling.append_orders(batch_id, orders)
        await self.store.filling.freeze_batch(batch_id, CALENDAR)
        await self.store.batches.set_running(batch_id)

    async def settle(self, batch_id: str, orders: Sequence[OfferedOrder], fates: dict[str, str]) -> None:
        """Give each of a batch's orders its outcome, and close the batch."""
        await self.begin(batch_id, orders)
        items = self.store.state.contents_of(batch_id).items
        for item in items:
            if fates[item.order_id] in ("settled", "held, credited"):
                await self.credit(OfferedOrder(*item[1:5]), item.claim_no)
        exceptions = [
            ExceptionItem(item.item_no, outcome, REASONS[outcome])
            for item in items
            if (outcome := Outcome(fates[item.order_id].split(",")[0])) != Outcome.SETTLED
        ]
        if items:
            await self.store.chunks.store_validation(batch_id, 0, [])
            await self.store.chunks.store_outcomes(batch_id, 0, exceptions)
        assert await close_batch(self.store, self.systems.fund_platform, batch_id) == BatchState.CLOSED

    async def credit(self, order: OfferedOrder, claim_no: int) -> None:
        """Credit an order."""
        key, account_id = credit_key(order.order_id), order.currency
        request = CreditRequest(key, claim_no, account_id, order.amount_minor, order.currency)
        await self.systems.fund_platform.credits.post_credits("a test", [request])

    async def report(self, batch_id: str) -> BatchReport:
        """Read a batch's report."""
        return await fetch_report(self.store, self.systems.fund_platform, batch_id)


async def sum_since(days: Days, batch_id: str) -> dict[str, ControlTotals]:
    """Sum what came since of a batch's exception items, item by item."""
    rows: dict[str, list[tuple[str, int, int]]] = {name: [] for name in (*Outcome, PENDING, "unconfirmed", "ledger")}
    for exception in await days.store.filling.fetch_exceptions(batch_id, -1, 1_000):
        latest = await days.store.audit.fetch_item_of_order(exception.order_id)
        assert latest
        if not exception.is_latest:
            rows[latest.outcome].append((latest.currency, 1, latest.amount_minor))
        for credit in await days.systems.fund_platform.credits.fetch_credits_of([credit_key(exception.order_id)]):
            rows["ledger"].append((credit.currency, 1, credit.amount_minor))
            if latest.outcome in (Outcome.HELD, PENDING):
                rows["unconfirmed"].append((credit.currency, 1, credit.amount_minor))
    return {name: totals_of(each) for name, each in rows.items()}


@settings(deadline=None, max_examples=150)
@given(
    first=st.lists(st.tuples(st.sampled_from(["USD", "PTS"]), st.integers(1, 99), fates), max_size=8),
    second=st.lists(st.tuples(st.integers(0, 7), st.integers(1, 99), fates), unique_by=lambda each: each[0]),
    third=st.sets(st.integers(0, 7)),
    answered=st.sets(st.integers(0, 7)),
)
def test_a_closed_report_stays_and_what_came_since_is_the_sum_over_its_orders(
    first: list[tuple[str, int, str]],
    second: list[tuple[int, int, str]],
    third: set[int],
    answered: set[int],
) -> None:
    async def run() -> None:
        days = Days()
        orders = [OfferedOrder(f"O{n}", each[0], each[1], each[0]) for n, each in enumerate(first)]
        await days.settle("B1", orders, {f"O{n}": each[2] for n, each in enumerate(first)})
        closed = await days.report("B1")
        summed = await check_balance(days.store, days.systems.fund_platform, "B1")
        assert closed.model_copy(update={"since_closing": None}) == summed

        again = [orders[n]._replace(amount_minor=amount) for n, amount, _ in second if n < len(orders)]
        await days.settle("B2", again, {f"O{n}": fate for n, _, fate in second})
        await days.begin("B3", [orders[n] for n in sorted(third) if n < len(orders)])
        # The answer to a held order's credit may arrive at any time.
        for n in answered & set(range(len(orders))):
            latest = await days.store.audit.fetch_item_of_order(f"O{n}")
            assert latest
            if latest.outcome == Outcome.HELD:
                await days.credit(OfferedOrder(f"O{n}", *latest[5:8]), claim_no=9)

        report = await days.report("B1")
        assert report.model_copy(update={"since_closing": None}) == summed
        since = report.since_closing
        assert since
        assert since.balanced
        assert {name: getattr(since, name) for name in (*Outcome, PENDING, "unconfirmed", "ledger")} == await sum_since(
            days, "B1"
        )
        all_credits = await days.systems.fund_platform.credits.fetch_credit_totals(
            [credit_key(each.order_id) for each in orders]
        )
        assert all_credits == sum_totals([report.settled, since.ledger])

    asyncio.run(run())


def test_a_credit_of_an_order_that_stays_rejected_is_out_of_balance_since() -> None:
    async def run() -> None:
        days = Days()
        order = OfferedOrder("O0", "USD", 100, "USD")
        await days.settle("B1", [order], {"O0": "rejected"})
        await days.credit(order, claim_no=9)
        report = await days.report("B1")
        assert report.balanced
        assert report.since_closing
        assert (report.since_closing.balanced, report.since_closing.ledger) == (False, totals_of([("USD", 1, 100)]))

    asyncio.run(run())


def test_an_order_that_is_credited_while_what_came_since_is_read_is_no_imbalance() -> None:
    async def run() -> None:
        days = Days()
        order = OfferedOrder("O0", "USD", 100, "USD")
        await days.settle("B1", [order], {"O0": "rejected"})
        read = days.systems.fund_platform.credits.fetch_credit_totals

        async def settle_and_read(keys: Sequence[str]) -> ControlTotals:
            if "B2" not in [batch.batch_id for batch in await days.store.batches.fetch_batches(10)]:
                await days.settle("B2", [order], {"O0": "settled"})
            return await read(keys)

        meddled = replaced(days.systems.fund_platform, "fetch_credit_totals", settle_and_read)
        since = (await fetch_report(days.store, meddled, "B1")).since_closing
        assert since
        assert (since.balanced, since.settled) == (True, totals_of([("USD", 1, 100)]))

    asyncio.run(run())


def test_a_batch_keeps_its_items_while_an_exceptions_order_is_pending_later() -> None:
    async def run() -> None:
        days = Days()
        order = OfferedOrder("O0", "USD", 100, "USD")
        await days.settle("B1", [order], {"O0": "rejected"})
        await days.begin("B2", [order])
        days.store.state.outbox.clear()
        fates_ = [
            fate.kept_because
            async for fate in prune_batches(days.store, days.systems.fund_platform, timedelta(0), lambda *_: None)
        ]
        assert fates_ == [KeptBecause.CAME_AGAIN]

    asyncio.run(run())


def test_a_batch_with_an_open_chunk_is_not_even_summed_to_be_closed() -> None:
    async def run() -> None:
        days = Days()
        await days.begin("B1", [OfferedOrder("O0", "USD", 100, "USD")])

        async def fetch_credit_totals(_keys: Sequence[str]) -> ControlTotals:
            raise AssertionError("its sums would miss what the open chunk is going to store")

        meddled = replaced(days.systems.fund_platform, "fetch_credit_totals", fetch_credit_totals)
        with pytest.raises(InvariantViolationError, match="1 of its 1 chunks are not closed"):
            await close_batch(days.store, meddled, "B1")

    asyncio.run(run())
