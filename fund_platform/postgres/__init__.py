"""The Fund Platform on PostgreSQL: accounts, answers and a double-entry ledger in tables."""

from database.access import Database
from database.pools import Pool
from fund_platform.postgres.accounts import PostgresAccounts
from fund_platform.postgres.credits import PostgresCredits
from fund_platform.postgres.proof import PostgresLedgerProof


class PostgresFundPlatform:
    """`FundPlatform` on PostgreSQL: all parts share one pool."""

    def __init__(self, pool: Pool) -> None:
        database = Database(pool, "The Fund Platform's database")
        self.credits = PostgresCredits(database)
        self.accounts = PostgresAccounts(database)
        self.proof = PostgresLedgerProof(database)
