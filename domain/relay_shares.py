"""The distribution of buckets among relays."""

from collections.abc import Mapping

from domain.limits import RESULT_BUCKET_COUNT


def plan_buckets(relay_id: str, leases: Mapping[str, frozenset[int]]) -> frozenset[int]:
    """Return the buckets that a relay may hold now: its fair share, as far as other relays have released them.

    After all relays have asked in turn, each bucket is leased to exactly one relay, and shares differ by at most one.

    Args:
        relay_id: the relay that asks. It is one of the live ones.
        leases: the buckets that each live relay holds now.
    """
    rank = sorted(leases).index(relay_id)
    share = RESULT_BUCKET_COUNT // len(leases) + (rank < RESULT_BUCKET_COUNT % len(leases))
    kept = sorted(leases[relay_id])[:share]
    free = frozenset(range(RESULT_BUCKET_COUNT)).difference(*leases.values())
    return frozenset(kept + sorted(free)[: share - len(kept)])
