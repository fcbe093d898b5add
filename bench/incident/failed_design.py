"""Run the design that failed, and read what became of its orders."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg

from bench.incident.morning import OrderFates
from bench.incident.notices import CONSUMES
from bench.incident.shared_pool import FAILED, REJECTED
from bench.settle_processes import SettleProcesses
from runtime.settings import Settings

_PROCESS = "shared_pool"
_READY_TIMEOUT_S = 30
_POLL_INTERVAL_S = 0.2
_CREATE_TABLES = (Path(__file__).with_name("sql") / "shared_pool.sql").read_bytes()


class FailedDesign:
    """The design that failed. Its own tables have the settled orders. Only its log has the rejected ones."""

    orders_topic = "shared-pool.orders.overdue"
    notices_topic = "shared-pool.notices"

    def __init__(self, database_url: str, processes: SettleProcesses) -> None:
        self.pids = processes.pids
        self._database_url = database_url
        self._processes = processes

    async def wait_until_done(self, order_count: int) -> None:
        """Wait until every order is settled or rejected, or its task has failed."""
        while True:
            fates = self.fetch_fates()
            if fates.settled + fates.rejected + self._count_logged(FAILED, self.orders_topic) >= order_count:
                return
            await asyncio.sleep(_POLL_INTERVAL_S)

    def fetch_fates(self) -> OrderFates:
        """Count the orders with a credit, those with more than one, and those that were logged as rejected."""
        with psycopg.connect(self._database_url) as connection:
            counts = connection.execute(
                "SELECT count(*), count(*) FILTER (WHERE credit_count > 1)"
                " FROM (SELECT count(*) AS credit_count FROM shared_pool.credits GROUP BY order_id) AS settled"
            ).fetchone()
        settled, paid_twice = counts or (0, 0)
        failed = self._count_logged(FAILED, self.orders_topic)
        return OrderFates(
            settled,
            self._count_logged(REJECTED, self.orders_topic),
            paid_twice,
            (f"tasks of the design that failed raised a database error: {failed:,}",) if failed else (),
        )

    def count_rejected_notices(self) -> int:
        """Count the notices that were logged as rejected."""
        return self._count_logged(REJECTED, self.notices_topic)

    def _count_logged(self, fate: str, topic: str) -> int:
        (log,) = self._processes.read_logs(_PROCESS)
        return sum(line.startswith(f"{fate} {topic} ") for line in log.splitlines())


@asynccontextmanager
async def running_failed_design(settings: Settings, log_dir: Path) -> AsyncIterator[FailedDesign]:
    """Create its tables from the imported orders and run its process."""
    with psycopg.connect(settings.database_url) as connection:
        connection.execute(_CREATE_TABLES)
    with SettleProcesses(log_dir, {}) as processes:
        processes.start_module(
            f"bench.incident.{_PROCESS}",
            settings.kafka_bootstrap_servers,
            settings.database_url,
            FailedDesign.orders_topic,
            FailedDesign.notices_topic,
        )
        await processes.wait_until_said(_PROCESS, CONSUMES, _READY_TIMEOUT_S)
        yield FailedDesign(settings.database_url, processes)
