"""The ledger's own proof on PostgreSQL."""

from database.access import Database
from database.pools import Row
from database.queries import load_query
from schemas.audit import Break
from schemas.ledger import LedgerCredit
from schemas.order_life import CreditAnswer, CreditLife, CreditPosting

_FETCH_CREDITS = load_query("fund_platform.postgres", "fetch_credits")
_FETCH_CREDIT_LIFE = load_query("fund_platform.postgres", "fetch_credit_life")
_FETCH_LEDGER_BREAKS = load_query("fund_platform.postgres", "fetch_ledger_breaks")


class PostgresLedgerProof:
    """`LedgerProof` on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def fetch_credits(self, after_key: str, credit_count_max: int) -> list[LedgerCredit]:
        async with self._database.reading() as connection:
            rows = await connection.fetch(_FETCH_CREDITS, after_key, credit_count_max)
            return [LedgerCredit(*row) for row in rows]

    async def fetch_credit_life(self, idempotency_key: str) -> CreditLife:
        async with self._database.reading() as connection:
            rows = await connection.fetch(_FETCH_CREDIT_LIFE, idempotency_key)
            return CreditLife(
                answer=CreditAnswer(**rows[0]) if rows[0]["result_code"] else None,
                postings=[_posting_of(row) for row in rows if row["entry_id"] is not None],
            )

    async def fetch_ledger_breaks(self, break_count_max: int) -> list[Break]:
        async with self._database.reading() as connection:
            rows = await connection.fetch(_FETCH_LEDGER_BREAKS, break_count_max)
            return [Break(**row) for row in rows]


def _posting_of(row: Row) -> CreditPosting:
    return CreditPosting(
        entry_id=row["entry_id"],
        reference=row["reference"],
        posted_at=row["posted_at"],
        account_id=row["posted_account_id"],
        amount_minor=row["posted_amount_minor"],
        currency=row["posted_currency"],
    )
