"""The outbox on PostgreSQL: relays' leases, and the outcomes that they deliver."""

from collections.abc import Collection

from database.access import Database
from database.queries import load_query
from domain.limits import RESULT_BUCKET_COUNT
from domain.relay_shares import plan_buckets
from schemas.item_outcomes import OUTCOME_BY_TEXT
from schemas.outbox import OutboxRow, StoredOutcome
from settlement_store.postgres.batch_rows import fetch_batch_no

_QUEUE_TO_LEASE = load_query("settlement_store.postgres", "queue_to_lease")
_RENEW_RELAY = load_query("settlement_store.postgres", "renew_relay")
_REMOVE_DEAD_RELAYS = load_query("settlement_store.postgres", "remove_dead_relays")
_REMOVE_RELAY = load_query("settlement_store.postgres", "remove_relay")
_FETCH_LEASES = load_query("settlement_store.postgres", "fetch_leases")
_GIVE_UP_BUCKETS = load_query("settlement_store.postgres", "give_up_buckets")
_TAKE_BUCKETS = load_query("settlement_store.postgres", "take_buckets")
_FETCH_OUTBOX_ROW = load_query("settlement_store.postgres", "fetch_outbox_row")
_FETCH_OUTCOMES = load_query("settlement_store.postgres", "fetch_outcomes")
_MARK_DELIVERED = load_query("settlement_store.postgres", "mark_delivered")
_DELETE_DELIVERED = load_query("settlement_store.postgres", "delete_delivered")


class PostgresOutbox:
    """`Outbox` on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def lease_buckets(self, relay_id: str, lease_s: float) -> frozenset[int]:
        async with self._database.transaction() as connection:
            await connection.execute(_QUEUE_TO_LEASE)
            await connection.execute(_RENEW_RELAY, relay_id, lease_s)
            await connection.execute(_REMOVE_DEAD_RELAYS, relay_id)
            rows = await connection.fetch(_FETCH_LEASES)
            leases = {row["relay_id"]: frozenset(row["buckets"]) for row in rows}
            planned = plan_buckets(relay_id, leases)
            if planned != leases[relay_id]:
                await connection.execute(_GIVE_UP_BUCKETS, relay_id, planned)
                await connection.execute(_TAKE_BUCKETS, relay_id, planned)
        return planned

    async def release_buckets(self, relay_id: str) -> None:
        async with self._database.autocommit() as connection:
            await connection.execute(_REMOVE_RELAY, relay_id)

    async def fetch_outbox_row(self, buckets: Collection[int]) -> OutboxRow | None:
        async with self._database.reading() as connection:
            row = await connection.fetchrow(_FETCH_OUTBOX_ROW, _bits_of(buckets))
            if row is None:
                return None
            return OutboxRow._make(row)._replace(buckets=_buckets_of(row["buckets"]))

    async def fetch_outcomes(
        self, row: OutboxRow, buckets: Collection[int], item_start: int, item_end: int
    ) -> list[StoredOutcome]:
        async with self._database.reading() as connection:
            batch_no = await fetch_batch_no(connection, row.batch_id)
            rows = await connection.fetch(
                _FETCH_OUTCOMES, batch_no, item_start, item_end, _bits_of(buckets), row.stored_at, row.step
            )
            return [StoredOutcome._make(row)._replace(outcome=OUTCOME_BY_TEXT[row["outcome"]]) for row in rows]

    async def mark_delivered(self, relay_id: str, outbox_no: int, buckets: Collection[int]) -> frozenset[int]:
        async with self._database.transaction() as connection:
            marked = await connection.fetchval(_MARK_DELIVERED, outbox_no, _bits_of(buckets), relay_id)
            await connection.execute(_DELETE_DELIVERED, outbox_no, _bits_of(range(RESULT_BUCKET_COUNT)))
        return _buckets_of(marked or 0)


def _bits_of(buckets: Collection[int]) -> int:
    return sum(1 << bucket for bucket in buckets)


def _buckets_of(bits: int) -> frozenset[int]:
    return frozenset(bucket for bucket in range(RESULT_BUCKET_COUNT) if bits >> bucket & 1)
