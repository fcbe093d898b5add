"""Which hash buckets each relay holds."""

from collections.abc import Mapping

from domain.limits import RESULT_BUCKET_COUNT


def plan_buckets(relay_id: str, leases: Mapping[str, frozenset[int]]) -> frozenset[int]:
    """The buckets that a relay is to hold: its fair share, as far as others have given theirs up.

    Relays that ask in turn end with all buckets leased, each to one relay, and shares that differ by one at most.

    Args:
        relay_id: the relay that asks; it is among the live ones.
        leases: what each live relay holds now.
    """
    rank = sorted(leases).index(relay_id)
    share = RESULT_BUCKET_COUNT // len(leases) + (rank < RESULT_BUCKET_COUNT % len(leases))
    kept = sorted(leases[relay_id])[:share]
    free = frozenset(range(RESULT_BUCKET_COUNT)).difference(*leases.values())
    return frozenset(kept + sorted(free)[: share - len(kept)])
