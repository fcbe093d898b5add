"""The batch that an intake process fills. It is opened with its first order, and frozen and started when due."""

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
    """The settings by which an intake process fills its batches. `instance_id` names the process."""

    instance_id: str
    batch_settings: BatchSettings
    batch_order_count_max: int
    batch_wait_s_max: float


class _Filling(NamedTuple):
    opening: BatchOpening
    due_at_s: float  # time.monotonic()


class BatchFilling:
    """The batch that this process fills. Each process fills its own batches, one at a time.

    If this process was suspended or slow, another process may freeze its batch. This process then opens a new one.
    """

    def __init__(self, store: SettlementStore, start_batch: StartBatch, settings: FillingSettings) -> None:
        self._store = store
        self._start_batch = start_batch
        self._settings = settings
        self._filling: _Filling | None = None
        self._opening: BatchOpening | None = None  # requested, but not answered yet
        self._order_count = 0
        self._order_count_max = min(
            settings.batch_order_count_max, limits.batch_order_count_max(settings.batch_settings.chunk_size)
        )

    @property
    def due_in_s(self) -> float:
        """Seconds until the open batch has to be frozen. Infinity if no batch is open."""
        return self._filling.due_at_s - time.monotonic() if self._filling else float("inf")

    async def append(self, orders: Sequence[OfferedOrder]) -> AppendedOffers:
        """Append orders, from the first one on, up to the batch's room and the store's limit for one call. Atomic.

        Args:
            orders: each order once.

        Returns:
            The number of orders that were handled, and the conflicts among them. If another process froze the batch,
            no order was handled. Call again.

        Raises:
            OffersRefusedError: the store refuses the data of at least one of the orders.
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
        """Freeze and start the open batch if there is one. Idempotent, so it may be called again after an error."""
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
                "the batch is frozen but could not be started; the sweep of a worker will start it",
                extra={"batch_id": opening.batch_id, "error": str(error)},
            )

    async def _open(self) -> _Filling:
        due_at_s = time.monotonic() + self._settings.batch_wait_s_max - limits.BATCH_START_ALLOWANCE_S
        opening = self._opening or plan_kafka_opening(
            self._settings.batch_settings, datetime.now(UTC), self._settings.instance_id
        )
        # A retry opens the same batch. Otherwise a batch whose opening got no answer would stay behind empty.
        self._opening = opening
        await self._store.filling.open_batch(opening)
        self._opening = None
        self._order_count = 0
        self._filling = _Filling(opening, due_at_s)
        return self._filling
