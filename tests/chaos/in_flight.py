"""Count the work in flight at a frozen target by asking the servers that are not frozen."""

import asyncio
import json
from contextlib import suppress
from typing import Self

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from temporalio.client import Client
from temporalio.service import RPCError

from bench.work_in_flight import fetch_worker_pids
from domain.errors import UnansweredError, UnavailableError
from runtime.kafka import connection_arguments
from tests.chaos.installation import Installation
from tests.chaos.schedule import Role

LOOK_TIMEOUT_S = 2.0
ASSIGNED = '"partitions assigned"'
RUNNING = "ExecutionStatus = 'Running'"

BETWEEN_STEPS = """
SELECT count(*) FROM settlement.chunk_states AS chunk JOIN settlement.batches AS batch USING (batch_no)
WHERE batch.state = 'running' AND chunk.state = 'validated'
"""
UNDELIVERED = "SELECT count(*) FROM settlement.outbox"
UNDELIVERED_BY_RELAY = """
SELECT count(*) FROM settlement.outbox AS told, (
    SELECT coalesce(sum(1 << bucket), 0)::int AS bits FROM settlement.relay_leases WHERE relay_id LIKE $1
) AS leased
WHERE told.delivered_buckets & leased.bits <> leased.bits
"""
# Errors of a server that is unreachable or just recovering, from the ports and from this module's own connections.
AWAY = (UnavailableError, UnansweredError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError, RPCError, KafkaError)

WHAT = {
    Role.WORKER: "activities and chunks in progress on it",
    Role.INTAKE: "records that it has not committed",
    Role.RELAY: "steps with outcomes that it has not delivered",
    Role.TEMPORAL: "chunks between their steps",
    Role.POSTGRESQL: "activities and chunks in progress",
    Role.BROKER: "steps with undelivered outcomes",
}


class InFlight:
    """Counts work in flight. A context manager with its own connections."""

    def __init__(self, installation: Installation, client: Client) -> None:
        self._installation = installation
        self._client = client
        settings = installation.settings
        self._url = settings.database_url
        self._topic = settings.topics.overdue
        self._consumer = AIOKafkaConsumer(
            **connection_arguments(settings), group_id=settings.topics.intake_group, enable_auto_commit=False
        )

    async def __aenter__(self) -> Self:
        await self._consumer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    async def count(self, role: Role, target: str) -> int:
        """Return how much work is in flight at a target, or 0 if a server that must be asked does not answer."""
        with suppress(*AWAY):
            async with asyncio.timeout(LOOK_TIMEOUT_S):
                return await self._count(role, target)
        return 0

    async def count_uncommitted(self, partitions: list[int]) -> int:
        """Return how many records in these partitions of the topic of overdue orders are not committed."""
        places = [TopicPartition(self._topic, number) for number in partitions]
        ends = await self._consumer.end_offsets(places)
        committed = [await self._consumer.committed(place) or 0 for place in places]
        return int(sum(ends.values()) - sum(committed))

    async def count_undelivered(self) -> int:
        """Return how many steps have undelivered outcomes."""
        return await self._fetch(UNDELIVERED)

    async def _count(self, role: Role, target: str) -> int:
        match role:
            case Role.WORKER:
                return await self._count_work(self._installation.processes[target].pid)
            case Role.INTAKE:
                return await self.count_uncommitted(self._assigned(target))
            case Role.RELAY:
                return await self._fetch(UNDELIVERED_BY_RELAY, f"%-{self._installation.processes[target].pid}-%")
            case Role.TEMPORAL:
                return await self._fetch(BETWEEN_STEPS)
            case Role.POSTGRESQL:
                return await self._count_work(None)
            case Role.BROKER:
                return await self.count_undelivered()

    async def _fetch(self, query: str, *arguments: str) -> int:
        connection = await asyncpg.connect(self._url)
        try:
            return int(await connection.fetchval(query, *arguments))
        finally:
            await connection.close()

    async def _count_work(self, pid: int | None) -> int:
        """Return how many activities and chunks are in progress on a worker, or without a pid on all of them."""
        workflows = [each.id async for each in self._client.list_workflows(RUNNING)]
        found = await asyncio.gather(*(fetch_worker_pids(self._client, each) for each in workflows))
        return sum(pid in (None, worker_pid) for pids in found for worker_pid in pids)

    def _assigned(self, target: str) -> list[int]:
        """Return the partitions that an intake was last assigned."""
        given = [line for line in self._installation.processes[target].log().splitlines() if ASSIGNED in line]
        return list(json.loads(given[-1])["partitions"]) if given else []
