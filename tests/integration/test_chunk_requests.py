"""A chunk makes exactly this many requests to Temporal. They determine the server's CPU time.

A change here is a decision, not a repair of the test. See docs/explanation/performance.md.
"""

from collections import Counter

import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.runtime import MetricBuffer, Runtime, TelemetryConfig

from settling.systems import Systems
from tests.support.settlements import (
    freeze,
    let_no_timeout_decide,
    opening_of,
    running_worker,
    seed_orders,
    start_chunk_by_hand,
)

CHUNK_COUNT = 3
REQUESTS_PER_CHUNK = {"RespondWorkflowTaskCompleted": 1}
# Requests that a worker makes once or from time to time.
REQUESTS_OF_A_WORKER = {"GetSystemInfo", "DescribeNamespace", "ShutdownWorker", "RecordWorkerHeartbeat"}


async def test_a_chunk_that_nothing_goes_wrong_with_is_one_workflow_task(
    client: Client, systems: Systems, batch_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_no_timeout_decide(monkeypatch)
    await seed_orders(systems, CHUNK_COUNT * 10)
    opening = opening_of(batch_id, chunk_size=10, window=1)
    await freeze(systems, opening)
    metrics = MetricBuffer(10_000)
    counted = await Client.connect(
        client.service_client.config.target_host,
        data_converter=pydantic_data_converter,
        runtime=Runtime(telemetry=TelemetryConfig(metrics=metrics)),
    )
    async with running_worker(counted, batch_id, systems):
        for chunk_index in range(CHUNK_COUNT):
            await (await start_chunk_by_hand(client, batch_id, opening, chunk_index)).result()
    requests = Counter[str]()
    for update in metrics.retrieve_updates():
        if update.metric.name == "temporal_request":
            requests[str(update.attributes["operation"])] += int(update.value)
    of_chunks = {name: count for name, count in requests.items() if name not in REQUESTS_OF_A_WORKER}
    assert of_chunks == {name: CHUNK_COUNT * count for name, count in REQUESTS_PER_CHUNK.items()}
