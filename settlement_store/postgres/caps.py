"""Caps on credits on PostgreSQL: token buckets that all workers share."""

from database.access import Database
from database.queries import load_query
from domain.credit_turns import plan_turn
from schemas.credit_turns import CreditBucket, CreditTurn
from settlement_store.postgres.batch_rows import fetch_batch_row

_ADD_CREDIT_BUCKETS = load_query("settlement_store.postgres", "add_credit_buckets")
_LOCK_CREDIT_BUCKETS = load_query("settlement_store.postgres", "lock_credit_buckets")
_SET_CREDIT_BUCKETS = load_query("settlement_store.postgres", "set_credit_buckets")

_INSTALLATION_NO = 0


class PostgresCreditBuckets:
    """`CreditBuckets` on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take_credits(
        self, batch_id: str, order_count: int, credits_per_s: int | None, *, is_promised: bool
    ) -> CreditTurn:
        async with self._database.reading() as connection:
            batch = await fetch_batch_row(connection, batch_id)
        caps = {_INSTALLATION_NO: credits_per_s, batch["batch_no"]: batch["credits_per_s"]}
        cap_by_no = {number: cap for number, cap in caps.items() if cap}
        if not cap_by_no:
            return CreditTurn(is_taken=True, wait_s=0)
        numbers = sorted(cap_by_no)
        async with self._database.autocommit() as connection:
            await connection.execute(_ADD_CREDIT_BUCKETS, numbers)
        async with self._database.transaction() as connection:
            rows = await connection.fetch(_LOCK_CREDIT_BUCKETS, numbers)
            locked = {row["batch_no"]: row for row in rows}
            buckets = [
                CreditBucket(cap_by_no[number], locked[number]["free_at_s"], locked[number]["promised_at_s"])
                for number in numbers
            ]
            now_s = max(row["now_s"] for row in rows)
            turn, planned = plan_turn(buckets, now_s, order_count, is_promised=is_promised)
            await connection.execute(
                _SET_CREDIT_BUCKETS,
                numbers,
                [bucket.free_at_s for bucket in planned],
                [bucket.promised_at_s for bucket in planned],
            )
        return turn
