"""A chunk's steps for tests of use cases: one chunk with its cutoff, and no cap on credits."""

from datetime import datetime
from typing import NamedTuple

from schemas.chunks import ChunkKey
from schemas.wire.isolation import Exclusions
from schemas.wire.totals import OutcomeTotals
from settling.both_steps import settle_chunk
from settling.crediting import credit_chunk
from settling.excluding import NO_EXCLUSIONS
from settling.systems import Systems
from settling.turns import CreditTurns
from settling.validating import validate_chunk


class ChunkCase(NamedTuple):
    """A chunk, with the arguments of its validation."""

    batch_id: str
    chunk_index: int
    cutoff_at: datetime
    acknowledges: bool = False

    @property
    def key(self) -> ChunkKey:
        return ChunkKey(self.batch_id, self.chunk_index)


def turns_of(systems: Systems) -> CreditTurns:
    """Return turns without an installation-wide cap."""
    return CreditTurns(systems.store.caps, None)


async def validate(systems: Systems, case: ChunkCase, exclusions: Exclusions = NO_EXCLUSIONS) -> OutcomeTotals:
    validated = await validate_chunk(
        systems, case.key, case.cutoff_at, acknowledges=case.acknowledges, exclusions=exclusions
    )
    return validated.totals


async def credit(systems: Systems, case: ChunkCase, exclusions: Exclusions = NO_EXCLUSIONS) -> OutcomeTotals:
    return await credit_chunk(systems, turns_of(systems), case.key, exclusions=exclusions)


async def settle_at_once(systems: Systems, case: ChunkCase) -> OutcomeTotals:
    return await settle_chunk(systems, turns_of(systems), case.key, case.cutoff_at, acknowledges=case.acknowledges)
