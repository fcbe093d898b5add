"""Temporal: connecting, the payload converter, the workflow sandbox."""

import asyncio

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.envconfig import ClientConfigProfile
from temporalio.service import RPCError
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from domain import limits
from domain.errors import SettingsError, UnavailableError
from runtime.settings import Settings
from runtime.stack_state import fetch_stack_state

DEFAULT_ADDRESS = "localhost:7233"

_SETTLE_PACKAGES = (
    "activities",
    "domain",
    "fund_platform",
    "order_center",
    "pydantic",
    "pydantic_core",
    "schemas",
    "settlement_store",
    "workflows.activity_options",
)


async def connect_temporal(settings: Settings) -> Client:
    """Connect as Temporal's own environment configuration says, else to the embedded stack.

    Raises:
        SettingsError: the configuration is malformed.
        UnavailableError: the server could not be reached in time.
    """
    try:
        profile = ClientConfigProfile.load()
        config = profile.to_client_connect_config()
    except (RuntimeError, ValueError, OSError) as error:
        raise SettingsError(f"Temporal's environment configuration (TEMPORAL_*) is wrong: {error}.") from error
    stack = fetch_stack_state(settings.stack_dir)
    address = profile.address or (stack.temporal_address if stack else DEFAULT_ADDRESS)
    config["target_host"] = address
    try:
        async with asyncio.timeout(limits.TEMPORAL_CONNECT_TIMEOUT_S):
            await _require_listener(address)
            return await Client.connect(**config, data_converter=pydantic_data_converter)
    except (OSError, ValueError, RuntimeError, RPCError) as error:
        raise UnavailableError(
            f"Could not connect to Temporal at {address}: {error or 'no answer in time'}. "
            "Check that it runs and that TEMPORAL_ADDRESS is right."
        ) from error


async def _require_listener(address: str) -> None:
    """Fail at once and with the system's own reason; the SDK's is a dump of its transport."""
    host, _, port = address.rpartition(":")
    _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    writer.close()


def workflow_runner() -> SandboxedWorkflowRunner:
    """The sandbox that workflows run in; Settle's own pure packages are not loaded anew for each workflow."""
    return SandboxedWorkflowRunner(restrictions=SandboxRestrictions.default.with_passthrough_modules(*_SETTLE_PACKAGES))
