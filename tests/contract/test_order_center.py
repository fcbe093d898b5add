"""The contract of the Order Center's port, for the adapter in memory and the one on PostgreSQL."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

import pytest

from domain import limits
from domain.errors import DataError
from order_center.port import OrderCenter
from order_center.postgres import PostgresOrderCenter
from schemas.order_life import CurrentRecord
from schemas.orders import FetchedRecord, OrderRecord, OrderStatus, OverdueCursor, OverdueOrder, RecordVersion
from tests.contract.adapters import not_in_memory
from tests.doubles.order_center import MemoryOrderCenter

CUTOFF = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.fixture
def order_center(request: pytest.FixtureRequest, adapter: str) -> OrderCenter:
    if adapter == "memory":
        return MemoryOrderCenter()
    return PostgresOrderCenter(request.getfixturevalue("pools")["order_center"])


def record_of(order_id: str, **changes: Any) -> OrderRecord:
    record = OrderRecord(
        order_id=order_id,
        account_id="A1",
        paid_minor=1000,
        refunded_minor=0,
        currency="USD",
        status=OrderStatus.COMPLETED,
        completed_at=CUTOFF - timedelta(days=20),
        after_sale_ends_at=CUTOFF - timedelta(days=1),
    )
    return record._replace(**changes)


async def fetch_slices(order_center: OrderCenter, slice_size: int = 100) -> list[Sequence[OverdueOrder]]:
    slices: list[Sequence[OverdueOrder]] = []
    after: OverdueCursor | None = None
    while True:
        offered, end = await order_center.fetch_overdue_slice(CUTOFF, after, slice_size)
        if end is None:
            assert len(offered) == 0
            return slices
        assert end.order_id in {order.order_id for order in offered}
        assert after is None or end > after
        slices.append(offered)
        after = end


async def fetch_all(order_center: OrderCenter) -> list[OverdueOrder]:
    return list(chain.from_iterable(await fetch_slices(order_center)))


async def test_an_order_is_overdue_before_the_cutoff_and_not_at_it(order_center: OrderCenter) -> None:
    await order_center.load_records(
        [
            record_of("before", after_sale_ends_at=CUTOFF - timedelta(microseconds=1)),
            record_of("at", after_sale_ends_at=CUTOFF),
            record_of("after", after_sale_ends_at=CUTOFF + timedelta(microseconds=1)),
        ]
    )
    assert [order.order_id for order in await fetch_all(order_center)] == ["before"]


async def test_orders_of_every_status_are_offered_with_what_was_paid_less_refunded(order_center: OrderCenter) -> None:
    await order_center.load_records(
        [record_of(status, status=status, paid_minor=700, refunded_minor=700) for status in OrderStatus]
    )
    offered = await fetch_all(order_center)
    assert {order.order_id: order.amount_minor for order in offered} == dict.fromkeys(OrderStatus, 0)
    assert {(order.account_id, order.currency) for order in offered} == {("A1", "USD")}


async def test_slices_offer_every_order_once_by_end_and_then_by_id_in_code_point_order(
    order_center: OrderCenter,
) -> None:
    ids = ["a", "B", "_", "é", "ab", "Z", "10", "9"]
    await order_center.load_records(
        [
            record_of(f"{order_id}{days}", after_sale_ends_at=CUTOFF - timedelta(days=days))
            for order_id in ids
            for days in (1, 2, 3)
        ]
    )
    expected = [f"{order_id}{days}" for days in (3, 2, 1) for order_id in sorted(ids)]
    for slice_size in (1, 5, 24, 100):
        slices = await fetch_slices(order_center, slice_size)
        offered = [sorted(order.order_id for order in each) for each in slices]
        assert offered == [sorted(expected[n : n + slice_size]) for n in range(0, len(expected), slice_size)]


async def test_an_order_that_is_not_overdue_yet_does_not_end_the_slices_before_it(order_center: OrderCenter) -> None:
    later = [record_of(f"later{n}", after_sale_ends_at=CUTOFF + timedelta(days=1)) for n in range(5)]
    await order_center.load_records([record_of("b"), record_of("a"), *later])
    assert [order.order_id for order in chain.from_iterable(await fetch_slices(order_center, 2))] == ["a", "b"]


async def test_an_acknowledged_order_is_not_offered_again(order_center: OrderCenter) -> None:
    await order_center.load_records([record_of("a"), record_of("b")])
    a, b = await fetch_all(order_center)
    for _ in range(2):
        await order_center.acknowledge([RecordVersion(a.order_id, a.version), RecordVersion("unknown", 1)])
        assert await fetch_all(order_center) == [b]


async def test_loading_the_same_record_again_does_not_offer_it_again(order_center: OrderCenter) -> None:
    await order_center.load_records([record_of("a"), record_of("b")])
    a, b = await fetch_all(order_center)
    await order_center.acknowledge([RecordVersion(a.order_id, a.version)])
    await order_center.load_records([record_of("a"), record_of("b")])
    assert await fetch_all(order_center) == [b]


@pytest.mark.parametrize(
    "change",
    [
        {"account_id": "A2"},
        {"paid_minor": 999},
        {"refunded_minor": 1},
        {"currency": "EUR"},
        {"status": OrderStatus.DISPUTED},
        {"completed_at": CUTOFF - timedelta(days=19)},
        {"after_sale_ends_at": CUTOFF - timedelta(days=2)},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_a_record_changed_in_any_column_is_offered_again_under_a_new_version(
    order_center: OrderCenter, change: dict[str, object]
) -> None:
    await order_center.load_records([record_of("a")])
    [old] = await fetch_all(order_center)
    await order_center.acknowledge([RecordVersion(old.order_id, old.version)])
    changed = record_of("a", **change)
    await order_center.load_records([changed])
    [new] = await fetch_all(order_center)
    assert new.version != old.version
    assert new[:4] == (
        "a",
        changed.account_id,
        changed.paid_minor - changed.refunded_minor,
        changed.currency,
    )


async def test_an_acknowledgement_never_covers_a_later_change(order_center: OrderCenter) -> None:
    await order_center.load_records([record_of("a")])
    [old] = await fetch_all(order_center)
    await order_center.load_records([record_of("a", paid_minor=2000)])
    await order_center.load_records(
        [record_of("a")]
    )  # the old content again, which is still a change since it was read
    await order_center.acknowledge([RecordVersion(old.order_id, old.version)])
    [new] = await fetch_all(order_center)
    assert new.version != old.version


async def test_an_order_whose_after_sale_period_is_prolonged_is_no_longer_offered(order_center: OrderCenter) -> None:
    await order_center.load_records([record_of("a")])
    await order_center.load_records([record_of("a", after_sale_ends_at=CUTOFF)])
    assert await fetch_all(order_center) == []


async def test_records_are_read_as_last_loaded_and_unknown_ones_are_left_out(order_center: OrderCenter) -> None:
    await order_center.load_records([record_of("a"), record_of("b"), record_of("c")])
    await order_center.load_records([record_of("b", paid_minor=900, refunded_minor=100, status=OrderStatus.REFUNDING)])
    versions = {order.order_id: order.version for order in await fetch_all(order_center)}
    records = await order_center.fetch_records(["b", "unknown", "a"])
    ends_at = CUTOFF - timedelta(days=1)
    assert sorted(records) == [
        FetchedRecord("a", "A1", 1000, 0, "USD", "completed", ends_at, versions["a"]),
        FetchedRecord("b", "A1", 900, 100, "USD", "refunding", ends_at, versions["b"]),
    ]


async def test_one_order_is_read_with_its_record_and_whether_it_is_still_offered(order_center: OrderCenter) -> None:
    await order_center.load_records([record_of("a"), record_of("b", after_sale_ends_at=CUTOFF)])
    await order_center.load_records([record_of("a", refunded_minor=100, status=OrderStatus.DISPUTED)])
    [offered] = await fetch_all(order_center)
    record = await order_center.fetch_order("a")
    assert record == CurrentRecord(
        order_id="a",
        account_id="A1",
        paid_minor=1000,
        refunded_minor=100,
        amount_minor=900,
        currency="USD",
        status=OrderStatus.DISPUTED,
        completed_at=CUTOFF - timedelta(days=20),
        after_sale_ends_at=CUTOFF - timedelta(days=1),
        version=offered.version,
        is_offered=True,
    )
    await order_center.acknowledge([RecordVersion("a", offered.version)])
    assert await order_center.fetch_order("a") == record.model_copy(update={"is_offered": False})
    not_yet_overdue = await order_center.fetch_order("b")
    assert not_yet_overdue
    assert not_yet_overdue.is_offered
    assert await order_center.fetch_order("unknown") is None


async def test_too_many_records_or_an_order_twice_are_refused_and_nothing_is_loaded(order_center: OrderCenter) -> None:
    with pytest.raises(ValueError, match="An order was given twice"):
        await order_center.load_records([record_of("a"), record_of("b"), record_of("a", paid_minor=2000)])
    with pytest.raises(ValueError, match="the limit is 5000"):
        await order_center.load_records([record_of(f"o{n}") for n in range(limits.LOAD_ROW_COUNT + 1)])
    assert await fetch_all(order_center) == []


@not_in_memory("in memory all data can be stored")
async def test_a_record_that_cannot_be_stored_is_told_as_bad_and_none_is_loaded(order_center: OrderCenter) -> None:
    with pytest.raises(DataError):
        await order_center.load_records([record_of("a"), record_of("b", account_id="A\0")])
    assert await fetch_all(order_center) == []


async def test_nothing_to_do_is_no_error(order_center: OrderCenter) -> None:
    await order_center.load_records([])
    await order_center.acknowledge([])
    assert await order_center.fetch_records([]) == []
    assert await fetch_all(order_center) == []
