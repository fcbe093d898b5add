"""The connection to Temporal, with its payload converter and timeouts."""

import asyncio
import os
from datetime import timedelta
from typing import Any

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client, Interceptor, OutboundInterceptor, StartWorkflowInput, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.envconfig import ClientConfigProfile
from temporalio.service import RPCError, RPCStatusCode

from database.failures import describe_failure
from domain import limits
from domain.errors import SettingsError, UnansweredError, UnavailableError
from runtime.settings import Settings
from runtime.stack_state import fetch_stack_state

DEFAULT_ADDRESS = "localhost:7233"


async def connect_temporal(settings: Settings) -> Client:
    """Connect to Temporal.

    The address comes from Temporal's own environment configuration, else from the embedded stack, else it is
    `DEFAULT_ADDRESS`.

    Raises:
        SettingsError: the configuration is malformed.
        UnavailableError: the server did not answer in time, or lacks the namespace.
    """
    try:
        # Only Temporal's variables are passed on. The SDK crashes on any variable that is not UTF-8.
        own = {name: value for name, value in os.environ.items() if name.startswith("TEMPORAL_")}
        profile = ClientConfigProfile.load(override_env_vars=own)
        config = profile.to_client_connect_config()
    except (RuntimeError, ValueError, OSError) as error:
        raise SettingsError(f"Temporal's environment configuration (TEMPORAL_*) is wrong: {error}.") from error
    stack = fetch_stack_state(settings.stack_dir)
    address = profile.address or (stack.temporal_address if stack else DEFAULT_ADDRESS)
    config["target_host"] = address
    try:
        async with asyncio.timeout(limits.TEMPORAL_CONNECT_TIMEOUT_S):
            await _require_listener(address)
            client = await Client.connect(
                **config, data_converter=pydantic_data_converter, interceptors=[_BoundedRequests()]
            )
            await _require_namespace(client, address)
    except (OSError, ValueError, RuntimeError, RPCError) as error:
        reason = describe_failure(error, limits.TEMPORAL_CONNECT_TIMEOUT_S)
        raise UnavailableError(
            f"Could not connect to Temporal at {address}: {reason}. "
            "Check that it runs and that TEMPORAL_ADDRESS is right."
        ) from error
    return client


class _BoundedRequests(Interceptor):
    """A bound on the start of workflows. If the server stops answering, the SDK would wait 30 s and retry for 10 s."""

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:  # noqa: A002 (the SDK's name)
        return _BoundedStart(super().intercept_client(next))


class _BoundedStart(OutboundInterceptor):
    async def start_workflow(self, input: StartWorkflowInput) -> WorkflowHandle[Any, Any]:  # noqa: A002
        try:
            async with asyncio.timeout(limits.TEMPORAL_RPC_TIMEOUT_S):
                return await super().start_workflow(input)
        except TimeoutError as error:
            raise UnansweredError(
                f"Temporal did not answer within {limits.TEMPORAL_RPC_TIMEOUT_S} s when asked to start {input.id}. "
                "Nothing is lost. Run the command again when Temporal is back."
            ) from error


async def _require_listener(address: str) -> None:
    """Fail immediately with the operating system's reason. The SDK's reason is a dump of its transport."""
    host, _, port = address.rpartition(":")
    _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    writer.close()


async def _require_namespace(client: Client, address: str) -> None:
    """Check that the namespace exists. Connecting does not."""
    try:
        await client.workflow_service.describe_namespace(
            DescribeNamespaceRequest(namespace=client.namespace),
            timeout=timedelta(seconds=limits.TEMPORAL_CONNECT_TIMEOUT_S),
        )
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
        raise UnavailableError(
            f"Temporal at {address} has no namespace {client.namespace!r}. Create it with: temporal operator "
            f"namespace create --namespace {client.namespace}, or correct TEMPORAL_NAMESPACE."
        ) from error


async def is_answering(client: Client) -> bool:
    """Return whether Temporal answers a health check now."""
    try:
        return await client.service_client.check_health(timeout=timedelta(seconds=limits.TEMPORAL_PING_TIMEOUT_S))
    except RPCError:
        return False
