"""The settlement store on PostgreSQL, assembled from its parts."""

from database.access import Database
from database.pools import Pool
from settlement_store.postgres.audit import PostgresAuditReads
from settlement_store.postgres.batches import PostgresBatches
from settlement_store.postgres.caps import PostgresCreditBuckets
from settlement_store.postgres.chunks import PostgresChunks
from settlement_store.postgres.control import PostgresControl
from settlement_store.postgres.filling import PostgresFilling
from settlement_store.postgres.orders import PostgresOrders
from settlement_store.postgres.outbox import PostgresOutbox
from settlement_store.postgres.pruning import PostgresPruning
from settlement_store.postgres.reports import PostgresReports


class PostgresSettlementStore:
    """`SettlementStore` on PostgreSQL: all parts share one pool."""

    def __init__(self, pool: Pool) -> None:
        database = Database(pool, "The settlement store's database")
        self.batches = PostgresBatches(database)
        self.filling = PostgresFilling(database)
        self.chunks = PostgresChunks(database)
        self.control = PostgresControl(database)
        self.caps = PostgresCreditBuckets(database)
        self.outbox = PostgresOutbox(database)
        self.reports = PostgresReports(database)
        self.pruning = PostgresPruning(database)
        self.orders = PostgresOrders(database)
        self.audit = PostgresAuditReads(database)
