"""Run Settle as an operator runs it, and the other topic's consumer, which shares nothing with it."""

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bench.fresh_stack import run_settle
from bench.incident.morning import OrderFates
from bench.incident.notices import CONSUMES
from bench.kafka_run import WORKER_COUNT, follow_until_closed
from bench.settle_processes import SettleProcesses
from runtime.adapters import open_settlement_store
from runtime.settings import Settings
from settlement_store.port import SettlementStore

_CONSUMER = "notice_consumer"
_READY_TIMEOUT_S = 30


class SettleDesign:
    """Settle. `settle audit` and `settle dlq list` report what became of its orders."""

    notices_topic = "notices"

    def __init__(self, settings: Settings, store: SettlementStore, pids: list[int]) -> None:
        self.orders_topic = settings.topics.overdue
        self.pids = pids
        self._store = store

    async def wait_until_done(self, order_count: int) -> None:
        """Wait until that many orders are in closed batches."""
        await follow_until_closed(self._store, order_count)

    def fetch_fates(self) -> OrderFates:
        """Run an audit. Dead letters and all outcomes except settled count as rejected."""
        audit = json.loads(run_settle("audit", "--json", check=False))
        dead_letters = json.loads(run_settle("dlq", "list", "--json"))
        unsettled = sum(audit[name]["order_count"] for name in ("rejected", "failed", "held"))
        return OrderFates(
            settled=audit["settled"]["order_count"],
            rejected=unsettled + len(dead_letters["dead_letters"]) + dead_letters["left_out"],
            paid_twice=audit["duplicate_credits"],
            problems=tuple(_find_problems(audit)),
        )

    def count_rejected_notices(self) -> int:
        """Return 0, because there is nothing between the notices' consumer and the broker."""
        return 0


def _find_problems(audit: Mapping[str, Any]) -> Iterator[str]:
    for found in audit["breaks"]:
        yield f"{found['kind']} {found['id']}: {found['detail']}"
    if pending := audit["pending"]["order_count"]:
        yield f"Settle's orders that are still pending: {pending:,}"


@asynccontextmanager
async def running_settle(settings: Settings, log_dir: Path) -> AsyncIterator[SettleDesign]:
    """Run two workers, one intake and the other topic's consumer."""
    with SettleProcesses(log_dir, {}) as processes:
        pids = [processes.start(command) for command in ["worker"] * WORKER_COUNT + ["intake"]]
        processes.start_module(
            f"bench.incident.{_CONSUMER}",
            settings.kafka_bootstrap_servers,
            settings.database_url,
            SettleDesign.notices_topic,
        )
        await processes.wait_until_workers_serve(_READY_TIMEOUT_S)
        await processes.wait_until_said("intake", "intake takes orders in", _READY_TIMEOUT_S)
        await processes.wait_until_said(_CONSUMER, CONSUMES, _READY_TIMEOUT_S)
        async with open_settlement_store(settings) as store:
            yield SettleDesign(settings, store, pids)
