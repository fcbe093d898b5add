"""Settle's own steps and SQL, for peers with other orchestration or none."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from runtime.adapters import open_systems
from runtime.settings import Settings
from schemas.chunks import ChunkKey
from schemas.wire.batches import BatchOpening
from settling.balancing import close_batch
from settling.both_steps import settle_chunk
from settling.freezing import freeze_overdue_orders
from settling.systems import Systems
from settling.turns import CreditTurns

CHUNKS_AT_A_TIME = 4  # in each of a peer's two processes; DBOS was slower with 2


class SettlementSteps:
    """The steps of one batch."""

    def __init__(self, settings: Settings, opening: BatchOpening, systems: Systems) -> None:
        self._calendar = settings.batch_settings.calendar
        self._opening = opening
        self._systems = systems
        self._turns = CreditTurns(systems.store.caps, None)

    async def freeze(self) -> int:
        """Freeze all overdue orders into the batch, start it and return its number of chunks."""
        await freeze_overdue_orders(
            self._systems, self._opening, self._calendar, after=None, on_slice=lambda _cursor: None
        )
        return (await self._systems.store.batches.set_running(self._opening.batch_id)).chunk_count

    async def settle(self, chunk_index: int) -> None:
        """Validate a chunk, credit it and close it."""
        key = ChunkKey(self._opening.batch_id, chunk_index)
        await settle_chunk(self._systems, self._turns, key)

    async def close(self) -> None:
        """Check the balance of the batch and close it."""
        await close_batch(self._systems.store, self._systems.fund_platform, self._opening.batch_id)


@asynccontextmanager
async def settlement_steps(settings: Settings, opening: BatchOpening) -> AsyncIterator[SettlementSteps]:
    """Yield the steps of one batch, with their own connections."""
    async with open_systems(settings) as systems:
        yield SettlementSteps(settings, opening, systems)
