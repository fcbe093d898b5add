"""Settle's own steps and SQL, for peers that orchestrate them otherwise, or not at all."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from domain.batch_openings import required_cutoff
from fund_platform.port import FundPlatform
from order_center.port import OrderCenter
from runtime.adapters import open_ports
from runtime.settings import Settings
from schemas.batches import BatchOpening
from schemas.workflows import ChunkRef
from settlement_store.port import SettlementStore
from settling import chunks
from settling.balancing import reconcile_batch
from settling.freezing import freeze_overdue_orders
from settling.turns import CreditTurns

CHUNKS_AT_A_TIME = 4  # in one of a peer's two processes: with 2 DBOS was slower


class SettlementSteps:
    """The steps of one batch."""

    def __init__(
        self, settings: Settings, opening: BatchOpening, ports: tuple[OrderCenter, SettlementStore, FundPlatform]
    ) -> None:
        self._calendar = settings.batch_settings.calendar
        self._opening = opening
        self._order_center, self._store, self._fund_platform = ports
        self._turns = CreditTurns(self._store.caps, None)

    async def freeze(self) -> int:
        """Freeze all overdue orders into the batch and start it; how many chunks it has."""
        await freeze_overdue_orders(
            self._order_center, self._store, self._opening, self._calendar, after=None, on_slice=lambda _cursor: None
        )
        return (await self._store.batches.start_batch(self._opening.batch_id)).chunk_count

    async def settle(self, chunk_index: int) -> None:
        """Validate a chunk, credit it and close it."""
        await chunks.settle_chunk(
            self._order_center, self._store, self._fund_platform, self._turns, self._ref(chunk_index)
        )

    async def close(self) -> None:
        """Reconcile the batch and close it."""
        batch_id = self._opening.batch_id
        report = await reconcile_batch(self._store, self._fund_platform, batch_id)
        await self._store.batches.close_batch(batch_id, balanced=report.balanced)

    def _ref(self, chunk_index: int) -> ChunkRef:
        return ChunkRef(
            batch_id=self._opening.batch_id,
            chunk_index=chunk_index,
            cutoff_at=required_cutoff(self._opening),
            acknowledges=False,
        )


@asynccontextmanager
async def settlement_steps(settings: Settings, opening: BatchOpening) -> AsyncIterator[SettlementSteps]:
    """The steps of one batch, on connections of their own."""
    async with open_ports(settings) as ports:
        yield SettlementSteps(settings, opening, ports)
