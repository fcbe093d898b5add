"""What is in flight at a target while it is frozen: counted by asking the servers that are not."""

import asyncio
import json
from contextlib import suppress
from typing import Self

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.client import Client
from temporalio.service import RPCError

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
# A server is away, or comes back just now.
AWAY = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, RPCError, KafkaError)

WHAT = {
    Role.WORKER: "activities that it runs",
    Role.INTAKE: "records that it has not committed",
    Role.RELAY: "steps whose outcomes it has not told",
    Role.TEMPORAL: "chunks between their steps",
    Role.POSTGRESQL: "activities that wait for it",
    Role.BROKER: "steps whose outcomes are not told",
}


class InFlight:
    """Counts work in flight; a context manager that holds its own connections."""

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
        """How much of its work hangs on a target now; 0 if a server that could tell does not answer."""
        with suppress(*AWAY):
            async with asyncio.timeout(LOOK_TIMEOUT_S):
                return await self._count(role, target)
        return 0

    async def count_uncommitted(self, partitions: list[int]) -> int:
        """How many records of these partitions of the topic of overdue orders are not committed."""
        places = [TopicPartition(self._topic, number) for number in partitions]
        ends = await self._consumer.end_offsets(places)
        committed = [await self._consumer.committed(place) or 0 for place in places]
        return int(sum(ends.values()) - sum(committed))

    async def count_undelivered(self) -> int:
        """How many steps have outcomes that are not told."""
        return await self._fetch(UNDELIVERED)

    async def _count(self, role: Role, target: str) -> int:
        match role:
            case Role.WORKER:
                return await self._count_activities(self._installation.processes[target].pid)
            case Role.INTAKE:
                return await self.count_uncommitted(self._assigned(target))
            case Role.RELAY:
                return await self._fetch(UNDELIVERED_BY_RELAY, f"%-{self._installation.processes[target].pid}-%")
            case Role.TEMPORAL:
                return await self._fetch(BETWEEN_STEPS)
            case Role.POSTGRESQL:
                return await self._count_activities(None)
            case Role.BROKER:
                return await self.count_undelivered()

    async def _fetch(self, query: str, *arguments: str) -> int:
        connection = await asyncpg.connect(self._url)
        try:
            return int(await connection.fetchval(query, *arguments))
        finally:
            await connection.close()

    async def _count_activities(self, pid: int | None) -> int:
        """How many activities a worker, or all of them, have started and not ended."""
        workflows = [each.id async for each in self._client.list_workflows(RUNNING)]
        return sum(await asyncio.gather(*(self._count_activities_of(each, pid) for each in workflows)))

    async def _count_activities_of(self, workflow_id: str, pid: int | None) -> int:
        description = await self._client.get_workflow_handle(workflow_id).describe()
        return sum(
            pending.state == PendingActivityState.PENDING_ACTIVITY_STATE_STARTED
            and pid in (None, int(pending.last_worker_identity.partition("@")[0]))
            for pending in description.raw_description.pending_activities
        )

    def _assigned(self, target: str) -> list[int]:
        """The partitions that an intake was given last."""
        given = [line for line in self._installation.processes[target].log().splitlines() if ASSIGNED in line]
        return list(json.loads(given[-1])["partitions"]) if given else []
