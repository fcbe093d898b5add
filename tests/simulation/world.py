"""The world of a seed: the three systems, their reports to the model, and the ports that a worker gets."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from database.pools import Pool, open_pool
from domain.errors import DataError
from domain.identifiers import credit_key, order_id_of_credit_key
from fund_platform.port.accounts import FUNDING_ACCOUNT_PREFIX
from fund_platform.postgres import PostgresFundPlatform
from order_center.postgres import PostgresOrderCenter
from schemas.batches import AppendResult
from schemas.items import OfferedOrder
from schemas.ledger import CreditRequest, CreditResultCode
from schemas.orders import FetchedRecord, OrderRecord, OrderStatus
from settlement_store.postgres import PostgresSettlementStore
from settling.systems import Systems
from tests.doubles.fund_platform import MemoryFundPlatform
from tests.doubles.order_center import MemoryOrderCenter
from tests.doubles.settlement_store import MemorySettlementStore
from tests.simulation.chance import Chance
from tests.simulation.fault_layer import Attempt, FaultLayer, current_attempt
from tests.simulation.model import Credit, Model
from tests.simulation.world_orders import CURRENCY, Kind, Order, plan_accounts
from tests.support.databases import SCHEMA_BY_PACKAGE
from tests.support.settlements import replaced

# The ledger's credits, read without Settle's code.
_POSTINGS = "SELECT idempotency_key, account_id, amount_minor, currency FROM postings WHERE account_id NOT LIKE $1"

Posting = tuple[str, str, int, str]


class Storage(NamedTuple):
    """The systems of a seed, and a function that reads the ledger's postings without the port."""

    systems: Systems
    fetch_postings: Callable[[], Any]


@asynccontextmanager
async def memory_storage() -> AsyncIterator[Storage]:
    fund_platform = MemoryFundPlatform()

    async def fetch_postings() -> list[Posting]:
        return [
            (posting.idempotency_key or "", posting.account_id, posting.amount_minor, posting.currency)
            for posting in fund_platform.state.postings
            if not posting.account_id.startswith(FUNDING_ACCOUNT_PREFIX)
        ]

    yield Storage(Systems(MemoryOrderCenter(), MemorySettlementStore(), fund_platform), fetch_postings)


@asynccontextmanager
async def postgres_storage(url: str) -> AsyncIterator[Storage]:
    """Yield systems on an empty database with all three schemas."""

    async def open_one(package: str) -> Pool:
        return await open_pool(url, schema=SCHEMA_BY_PACKAGE[package], application_name="simulation", size_max=8)

    async with (
        await open_one("order_center") as order_center,
        await open_one("settlement_store") as store,
        await open_one("fund_platform") as fund_platform,
    ):

        async def fetch_postings() -> list[Posting]:
            return [tuple(row) for row in await fund_platform.fetch(_POSTINGS, f"{FUNDING_ACCOUNT_PREFIX}%")]

        systems = Systems(
            PostgresOrderCenter(order_center), PostgresSettlementStore(store), PostgresFundPlatform(fund_platform)
        )
        yield Storage(systems, fetch_postings)


class World:
    """The systems of a seed. Reports to the model what happens to them, in order."""

    def __init__(self, chance: Chance, storage: Storage, orders: Sequence[Order], layer: FaultLayer) -> None:
        self.model = Model()
        self.systems = storage.systems
        self.poisoned: set[tuple[str, int | None]] = set()
        self.appended: list[tuple[str, AppendResult]] = []
        self._chance = chance
        self._layer = layer
        self.fetch_postings = storage.fetch_postings
        self._orders = {order.order_id: order for order in orders}
        self._kind_of_account = {order.account_id: order.kind for order in orders}
        self.model.unreadable_order_ids = {o.order_id for o in orders if o.kind == Kind.RECORD_IS_POISON}
        self.model.unanswerable_order_ids = {o.order_id for o in orders if o.kind == Kind.ALL_IS_POISON}
        self._closed_account_ids: set[str] = set()
        self._crediting = asyncio.Lock()
        order_center, store, fund_platform = (
            storage.systems.order_center,
            storage.systems.store,
            storage.systems.fund_platform,
        )
        self.faulty = Systems(
            layer.watch(replaced(order_center, "fetch_records", self._fetch_records)),
            layer.watch(replaced(store, "append_orders", self._append_orders)),
            layer.watch(
                replaced(
                    replaced(fund_platform, "post_credits", self._post_credits),
                    "withdraw_credits",
                    self._withdraw_credits,
                )
            ),
        )
        layer.before_calls(self._note_requests)

    @property
    def order_ids(self) -> list[str]:
        """The ids of all orders of the seed."""
        return list(self._orders)

    @property
    def order_ids_credited_before(self) -> set[str]:
        """The ids of the orders that were credited before Settle."""
        return {order.order_id for order in self._orders.values() if order.is_credited_before}

    async def fill(self) -> None:
        """Open the accounts, close some, and post the credits that exist before Settle."""
        orders = self._orders.values()
        await self.systems.fund_platform.accounts.open_accounts(plan_accounts(orders))
        credited = {Kind.CREDITED_BEFORE: 0, Kind.CREDITED_OTHERWISE: 7}
        for order in orders:
            if order.kind in credited:
                amount_minor = order.amount_minor + credited[order.kind]
                request = CreditRequest(credit_key(order.order_id), 1, order.account_id, amount_minor, CURRENCY)
                await self.systems.fund_platform.credits.post_credits("before Settle", [request])
                self.model.credit_before(order.order_id, Credit(*request[2:]))
            if order.kind == Kind.ACCOUNT_CLOSED:
                await self._set_account(order.account_id, is_open=False)

    async def load(self, records: Sequence[OrderRecord]) -> None:
        for record in records:
            self.model.load(record)
        await self.systems.order_center.load_records(records)

    async def open_account(self, order: Order) -> None:
        """Reopen an order's account."""
        await self._set_account(order.account_id, is_open=True)

    async def _set_account(self, account_id: str, *, is_open: bool) -> None:
        platform = self.systems.fund_platform
        await (platform.accounts.reopen_account if is_open else platform.accounts.close_account)(account_id)
        (self._closed_account_ids.discard if is_open else self._closed_account_ids.add)(account_id)

    async def _append_orders(self, batch_id: str, orders: Sequence[OfferedOrder]) -> AppendResult:
        for order in orders:
            self.model.announce(order.order_id)
        result = await self.systems.store.filling.append_orders(batch_id, orders)
        self.appended.append((batch_id, result))
        return result

    async def _fetch_records(self, order_ids: Sequence[str]) -> Sequence[FetchedRecord]:
        """Read records. Wavering records are changed first, depending on the attempt that reads them."""
        self._raise_for(order_ids, {Kind.RECORD_IS_POISON}, DataError("A record cannot be read."))
        for order_id in order_ids:
            order = self._orders[order_id]
            if order.kind == Kind.RECORD_WAVERS:
                is_disputed = self._wavers("record", order_id)
                status = OrderStatus.DISPUTED if is_disputed else OrderStatus.COMPLETED
                await self.load([order.record._replace(status=status)])
        return await self.systems.order_center.fetch_records(order_ids)

    async def _note_requests(self, _attempt: Attempt, method: str, arguments: tuple[Any, ...]) -> None:
        if method in ("post_credits", "withdraw_credits"):
            for request in arguments[1]:
                self.model.ask(request)

    def _wavers(self, *names: object) -> bool:
        """Return whether something that wavers is in its bad state for the current attempt."""
        attempt = current_attempt()
        if attempt is None or self._layer.is_calm:
            return False
        return self._chance.happens(0.5, *names, *attempt.place, attempt.number)

    async def _post_credits(self, reference: str, requests: Sequence[CreditRequest]) -> Mapping[str, CreditResultCode]:
        """Post credits. Wavering accounts are opened or closed first, depending on the attempt that posts.

        Only one call runs at a time, so that the model gets them in order.
        """
        order_ids = [order_id_of_credit_key(request.idempotency_key) for request in requests]
        error = DataError("A trigger of the Fund Platform refused a credit.")
        self._raise_for(order_ids, {Kind.CREDIT_IS_POISON, Kind.ALL_IS_POISON}, error)
        async with self._crediting:
            for request in requests:
                if self._kind_of_account[request.account_id] == Kind.ACCOUNT_WAVERS:
                    is_open = not self._wavers("account", request.account_id)
                    await self._set_account(request.account_id, is_open=is_open)
            codes = await self.systems.fund_platform.credits.post_credits(reference, requests)
            for request in requests:
                self.model.judge(request, self._account_state(request.account_id))
        self._raise_for(order_ids, {Kind.ANSWER_IS_POISON}, DataError("The answer cannot be read."))
        return codes

    async def _withdraw_credits(
        self, reference: str, requests: Sequence[CreditRequest]
    ) -> Mapping[str, CreditResultCode]:
        order_ids = [order_id_of_credit_key(request.idempotency_key) for request in requests]
        self._raise_for(order_ids, {Kind.ALL_IS_POISON}, DataError("The withdrawal fails as well."))
        async with self._crediting:
            codes = await self.systems.fund_platform.credits.withdraw_credits(reference, requests)
            for request in requests:
                self.model.judge(request, "withdrawn")
            return codes

    def _raise_for(self, order_ids: Iterable[str], kinds: set[Kind], error: Exception) -> None:
        """Raise the error if one of the orders is poison and the world is not calm."""
        if self._layer.is_calm:
            return
        if any(order_id in self._orders and self._orders[order_id].kind in kinds for order_id in order_ids):
            attempt = current_attempt()
            if attempt:
                self.poisoned.add((attempt.place.batch, attempt.place.chunk_index))
            raise error

    def _account_state(self, account_id: str) -> str:
        kind = self._kind_of_account[account_id]
        if kind == Kind.ACCOUNT_MISSING:
            return "missing"
        if account_id in self._closed_account_ids:
            return "closed"
        return "other currency" if kind == Kind.ACCOUNT_IN_OTHER_CURRENCY else "open"
