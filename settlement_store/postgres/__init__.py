"""The settlement store on PostgreSQL, put together from its parts."""

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


class PostgresSettlementStore:
    """`SettlementStore` on PostgreSQL: all parts share one pool."""

    def __init__(self, pool: Pool) -> None:
        self.batches = PostgresBatches(pool)
        self.filling = PostgresFilling(pool)
        self.chunks = PostgresChunks(pool)
        self.control = PostgresControl(pool)
        self.caps = PostgresCreditBuckets(pool)
        self.outbox = PostgresOutbox(pool)
        self.pruning = PostgresPruning(pool)
        self.orders = PostgresOrders(pool)
        self.audit = PostgresAuditReads(pool)
