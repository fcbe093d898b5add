"""A chunk's steps for tests of use cases, without a cap on credits."""

from schemas.chunks import ChunkKey
from schemas.wire.isolation import Exclusions
from schemas.wire.totals import OutcomeTotals
from settling.both_steps import settle_chunk
from settling.crediting import credit_chunk
from settling.excluding import NO_EXCLUSIONS
from settling.systems import Systems
from settling.turns import CreditTurns
from settling.validating import validate_chunk


def turns_of(systems: Systems) -> CreditTurns:
    """Return turns without an installation-wide cap."""
    return CreditTurns(systems.store.caps, None)


async def validate(systems: Systems, key: ChunkKey, exclusions: Exclusions = NO_EXCLUSIONS) -> OutcomeTotals:
    return (await validate_chunk(systems, key, exclusions)).totals


async def credit(systems: Systems, key: ChunkKey, exclusions: Exclusions = NO_EXCLUSIONS) -> OutcomeTotals:
    return await credit_chunk(systems, turns_of(systems), key, exclusions=exclusions)


async def settle_at_once(systems: Systems, key: ChunkKey) -> OutcomeTotals:
    return await settle_chunk(systems, turns_of(systems), key)
