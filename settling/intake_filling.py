"""The batch that an intake process fills: opened with its first order, frozen and started when full or old enough."""

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from domain import limits
from domain.batch_openings import BatchSettings, plan_kafka_opening
from domain.errors import BatchNotOpenError, DataError, OffersRefusedError, UnansweredError, UnavailableError
from schemas.batches import AppendedOffers
from schemas.items import OfferedOrder
from schemas.wire.batches import BatchOpening
from settlement_store.port import SettlementStore

StartBatch = Callable[[BatchOpening], Awaitable[None]]

_log = logging.getLogger(__name__)


class FillingSettings(NamedTuple):
    """How an intake process fills its batches; `instance_id` names the process."""

    instance_id: str
    batch_settings: BatchSettings
    batch_order_count_max: int
    batch_wait_s_max: float


class _Filling(NamedTuple):
    opening: BatchOpening
    due_at_s: float  # time.monotonic()


class BatchFilling:
    """Each process fills a batch of its own, one at a time.

    A batch that another process froze meanwhile, since this one was stopped or slow, is left to it: another is opened.
    """

    def __init__(self, store: SettlementStore, start_batch: StartBatch, settings: FillingSettings) -> None:
        self._store = store
        self._start_batch = start_batch
        self._settings = settings
        self._filling: _Filling | None = None
        self._opening: BatchOpening | None = None  # asked for, and not answered yet
        self._order_count = 0
        self._order_count_max = min(
            settings.batch_order_count_max, limits.batch_order_count_max(settings.batch_settings.chunk_size)
        )

    @property
    def due_in_s(self) -> float:
        """When the open batch has to be frozen; infinity if there is none."""
        return self._filling.due_at_s - time.monotonic() if self._filling else float("inf")

    async def append(self, orders: Sequence[OfferedOrder]) -> AppendedOffers:
        """Append the first of the orders, as many as the batch has room for; atomic.

        Args:
            orders: each order once.

        Raises:
            OffersRefusedError: the data of at least one of the orders are at fault.
            TooManyBatchesError: no batch is open, and none can be opened now.
        """
        if self._order_count >= self._order_count_max:
            await self.freeze()
        filling = self._filling or await self._open()
        room = self._order_count_max - self._order_count
        part = orders[: min(room, limits.FREEZE_SLICE_ORDER_COUNT)]
        try:
            result = await self._store.filling.append_orders(filling.opening.batch_id, part)
        except BatchNotOpenError:
            self._filling = None
            return AppendedOffers(0, ())
        except DataError as error:
            raise OffersRefusedError(len(part), str(error)) from error
        self._order_count += result.claimed_count
        return AppendedOffers(len(part), result.conflict_order_ids)

    async def freeze_when_due(self) -> None:
        """Freeze and start the open batch if it is full or old enough."""
        if self._filling and (self._order_count >= self._order_count_max or self.due_in_s <= 0):
            await self.freeze()

    async def freeze(self) -> None:
        """Freeze and start the open batch, if there is one. Idempotent: freezing again after an error is harmless."""
        if not self._filling:
            return
        opening = self._filling.opening
        await self._store.filling.freeze_batch(opening.batch_id, self._settings.batch_settings.calendar)
        self._filling = None
        _log.info("batch frozen", extra={"batch_id": opening.batch_id, "order_count": self._order_count})
        try:
            await self._start_batch(opening)
        except (UnansweredError, UnavailableError) as error:
            _log.warning(
                "the batch is frozen but not started; the sweep of a worker starts it",
                extra={"batch_id": opening.batch_id, "error": str(error)},
            )

    async def _open(self) -> _Filling:
        due_at_s = time.monotonic() + self._settings.batch_wait_s_max - limits.BATCH_START_ALLOWANCE_S
        opening = self._opening or plan_kafka_opening(
            self._settings.batch_settings, datetime.now(UTC), self._settings.instance_id
        )
        # Tried again it is the same batch: one that was opened without an answer is not left behind empty.
        self._opening = opening
        await self._store.filling.open_batch(opening)
        self._opening = None
        self._order_count = 0
        self._filling = _Filling(opening, due_at_s)
        return self._filling
