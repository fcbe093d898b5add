"""Opening, filling and freezing batches on PostgreSQL."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import asyncpg

from database.access import Database
from database.columns import integer_column, text_column
from database.pools import Connection, Row
from database.queries import load_query
from domain import limits
from domain.business_days import BusinessCalendar
from domain.errors import (
    BatchMismatchError,
    BatchNotFoundError,
    BatchNotOpenError,
    InvariantViolationError,
    SettleError,
    TooManyBatchesError,
)
from schemas.batches import AppendResult, Batch
from schemas.items import OfferedOrder, RerunItem, StoredException
from schemas.next_steps import NextStep, NextStepKind
from schemas.tables import columns_of
from schemas.wire.batches import BatchOpening, BatchState
from schemas.wire.reasons import Outcome, ReasonCode
from settlement_store.port.filling import batch_pruned, check_cutoff, check_offers, check_opening, is_opened_as
from settlement_store.postgres.batch_rows import batch_not_found, batch_of, fetch_batch_no, fetch_batch_row, lock_batch

_OPEN_BATCH = load_query("settlement_store.postgres", "open_batch")
_FETCH_CLOCK = load_query("settlement_store.postgres", "fetch_clock")
_QUEUE_TO_OPEN = load_query("settlement_store.postgres", "queue_to_open")
_FETCH_UNCLOSED_BATCHES = load_query("settlement_store.postgres", "fetch_unclosed_batches")
_LOCK_APPENDS_ALONE = load_query("settlement_store.postgres", "lock_appends_alone")
_LOCK_APPENDS_BESIDE_OTHERS = load_query("settlement_store.postgres", "lock_appends_beside_others")
_APPEND_NEW_ORDERS = load_query("settlement_store.postgres", "append_new_orders")
_APPEND_ORDERS = load_query("settlement_store.postgres", "append_orders")
_APPEND_RERUN_ITEMS = load_query("settlement_store.postgres", "append_rerun_items")
_COUNT_APPENDED = load_query("settlement_store.postgres", "count_appended")
_FETCH_EXCEPTIONS = load_query("settlement_store.postgres", "fetch_exceptions")
_STORE_CHUNKS = load_query("settlement_store.postgres", "store_chunks")
_SET_BATCH_FROZEN = load_query("settlement_store.postgres", "set_batch_frozen")

Appended = TypeVar("Appended")


class _ClaimRaceError(InvariantViolationError):
    """A rival claimed an order between the read and the insert, which only happens while appends run concurrently."""


class _ClaimedBeforeError(SettleError):
    """One of the orders was claimed before; the statement for new orders changed nothing."""


class PostgresFilling:
    """`Filling` on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open_batch(self, opening: BatchOpening) -> Batch:
        rerun = opening.rerun
        async with self._database.transaction() as connection:
            await connection.execute(_QUEUE_TO_OPEN)
            await connection.execute(
                _OPEN_BATCH,
                opening.batch_id,
                opening.source,
                opening.business_date,
                opening.cutoff_at,
                opening.chunk_size,
                opening.window,
                rerun.batch_id if rerun else None,
                ",".join(rerun.outcomes) if rerun else None,
                rerun.reason_code if rerun else None,
                limits.UNCLOSED_BATCH_COUNT_MAX,
                opening.credits_per_s,
                limits.CUTOFF_AHEAD_S_MAX,
            )
            unclosed_rows = await connection.fetch(_FETCH_UNCLOSED_BATCHES, limits.UNCLOSED_BATCH_COUNT_MAX)
            unclosed_ids = [row["batch_id"] for row in unclosed_rows]
            try:
                batch = batch_of(await fetch_batch_row(connection, opening.batch_id))
            except BatchNotFoundError as error:
                check_opening(opening, await connection.fetchval(_FETCH_CLOCK))
                if len(unclosed_ids) < limits.UNCLOSED_BATCH_COUNT_MAX:
                    raise batch_pruned(rerun.batch_id if rerun else opening.batch_id) from error
                raise _too_many_batches(opening, unclosed_ids) from error
        if not is_opened_as(batch, opening):
            raise BatchMismatchError(
                f"Batch {opening.batch_id} was not opened: it exists with another source, business date, cutoff, chunk "
                "size, window, cap on credits or selection of items. Choose another batch id.",
                NextStep(kind=NextStepKind.SHOW_BATCH, subject=opening.batch_id),
            )
        return batch

    async def append_orders(self, batch_id: str, orders: Sequence[OfferedOrder]) -> AppendResult:
        order_ids, account_ids, amounts_minor, currencies = columns_of(OfferedOrder, orders)
        check_offers(order_ids)
        columns = (
            text_column(order_ids),
            text_column(account_ids),
            integer_column(amounts_minor),
            text_column(currencies),
        )

        async def append(connection: Connection, batch: Row) -> AppendResult:
            result = await _append_others_too(connection, batch_id, batch, columns)
            await connection.execute(
                _COUNT_APPENDED,
                batch["batch_no"],
                result.claimed_count,
                result.duplicate_count,
                len(result.conflict_order_ids),
            )
            return result

        try:
            # Almost always none of the orders was ever claimed. This statement then does half the work.
            await self._append_new(batch_id, columns)
        except _ClaimedBeforeError:
            return await self._append(batch_id, append)
        return AppendResult(len(order_ids), 0, (), ())

    async def _append_new(self, batch_id: str, columns: Sequence[str]) -> None:
        async with self._database.autocommit() as connection:
            try:
                state = await connection.fetchval(_APPEND_NEW_ORDERS, batch_id, *columns)
            except asyncpg.UniqueViolationError as error:
                raise _ClaimedBeforeError from error
        _require_open(batch_id, state)

    async def append_rerun_items(self, batch_id: str, items: Sequence[RerunItem]) -> frozenset[str]:
        columns = columns_of(RerunItem, items)
        check_offers(columns[0])

        async def append(connection: Connection, batch: Row) -> frozenset[str]:
            row = await connection.fetchrow(_APPEND_RERUN_ITEMS, batch["batch_no"], batch["item_count"], *columns)
            if row is None or len(row["claimed_order_ids"]) != row["numbered_count"]:
                raise _claim_race(batch_id)
            await connection.execute(_COUNT_APPENDED, batch["batch_no"], row["numbered_count"], 0, 0)
            return frozenset(row["claimed_order_ids"])

        return await self._append(batch_id, append)

    async def _append(self, batch_id: str, append: Callable[[Connection, Row], Awaitable[Appended]]) -> Appended:
        try:
            return await self._append_once(batch_id, append, queue=_LOCK_APPENDS_BESIDE_OTHERS)
        except _ClaimRaceError:
            # Rivals could win again and again, so the second attempt runs alone.
            return await self._append_once(batch_id, append, queue=_LOCK_APPENDS_ALONE)

    async def _append_once(
        self, batch_id: str, append: Callable[[Connection, Row], Awaitable[Appended]], *, queue: str
    ) -> Appended:
        async with self._database.transaction() as connection:
            batch = await lock_batch(connection, batch_id)
            _require_open(batch_id, batch["state"])
            # Always after the batch's row: a fixed lock order cannot deadlock.
            await connection.execute(queue)
            return await append(connection, batch)

    async def fetch_exceptions(self, batch_id: str, after_item_no: int, item_count_max: int) -> list[StoredException]:
        async with self._database.reading() as connection:
            batch_no = await fetch_batch_no(connection, batch_id)
            rows = await connection.fetch(_FETCH_EXCEPTIONS, batch_no, after_item_no, item_count_max)
            return [
                StoredException._make(row)._replace(
                    outcome=Outcome(row["outcome"]), reason_code=ReasonCode(row["reason_code"])
                )
                for row in rows
            ]

    async def freeze_batch(self, batch_id: str, calendar: BusinessCalendar) -> None:
        async with self._database.transaction() as connection:
            batch = await lock_batch(connection, batch_id)
            if batch["state"] != BatchState.OPEN:
                return
            check_cutoff(batch_id, batch["cutoff_at"], batch["locked_at"])
            await connection.execute(_STORE_CHUNKS, batch["batch_no"], batch["item_count"], batch["chunk_size"])
            await connection.execute(
                _SET_BATCH_FROZEN, batch["batch_no"], calendar.latest_business_date(batch["locked_at"])
            )


async def _append_others_too(connection: Connection, batch_id: str, batch: Row, columns: Sequence[str]) -> AppendResult:
    row = await connection.fetchrow(_APPEND_ORDERS, batch["batch_no"], batch["item_count"], *columns)
    if row is None or row["claimed_count"] != row["numbered_count"]:
        raise _claim_race(batch_id)
    return AppendResult(
        claimed_count=row["claimed_count"],
        duplicate_count=row["duplicate_count"],
        conflict_order_ids=tuple(row["conflict_order_ids"]),
        unanswered_conflict_order_ids=tuple(row["unanswered_conflict_order_ids"]),
    )


def _require_open(batch_id: str, state: str | None) -> None:
    if state is None:
        raise batch_not_found(batch_id)
    if state != BatchState.OPEN:
        raise BatchNotOpenError(f"Batch {batch_id} is {state} and takes no more orders.")


def _claim_race(batch_id: str) -> _ClaimRaceError:
    return _ClaimRaceError(
        f"Could not append to batch {batch_id}: a concurrent append claimed one of the orders. Nothing was written."
    )


def _too_many_batches(opening: BatchOpening, unclosed_ids: Sequence[str]) -> TooManyBatchesError:
    named = ", ".join(unclosed_ids[: limits.UNCLOSED_BATCHES_NAMED_MAX])
    return TooManyBatchesError(
        f"Batch {opening.batch_id} was not opened: {limits.UNCLOSED_BATCH_COUNT_MAX} batches are open, frozen or "
        f"running, which is the limit. The oldest are {named}. Find out what they wait for.",
        NextStep(kind=NextStepKind.SHOW_BATCH, subject=unclosed_ids[0]),
    )
