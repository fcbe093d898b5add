"""`settle migrate`: bring databases, search attributes and topics up to date."""

from datetime import timedelta

import typer
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from database.migrations import SchemaState
from domain import limits
from runtime.adapters import migrate_databases
from runtime.kafka import create_topics
from runtime.settings import load_settings
from runtime.temporal import connect_temporal
from starters.console import run_command
from workflows.search_attributes import ALL_KEYS


def migrate() -> None:
    """Bring the three databases, Temporal's search attributes and Kafka's topics up to date.

    Running it again changes nothing.
    """
    run_command(_migrate())


async def _migrate() -> None:
    settings = load_settings()
    client = await connect_temporal(settings)
    # Before the databases: if Kafka is unreachable, nothing has been changed.
    created = await create_topics(settings) if settings.kafka_bootstrap_servers else None
    for schema, (applied, before) in (await migrate_databases(settings)).items():
        typer.echo(f"{schema}: {_describe(applied, before)}")
    await add_search_attributes(client)
    typer.echo(f"search attributes: {', '.join(key.name for key in ALL_KEYS)}")
    typer.echo(f"topics: {_describe_topics(created)}")


def _describe(applied: list[str], before: SchemaState) -> str:
    if applied:
        return ", ".join(applied)
    if before.unknown:
        return f"newer than this version of Settle, which does not know {', '.join(before.unknown)}; nothing to do"
    return "up to date"


def _describe_topics(created: list[str] | None) -> str:
    if created is None:
        return "none; KAFKA_BOOTSTRAP_SERVERS is not set"
    return ", ".join(created) or "up to date"


async def add_search_attributes(client: Client) -> None:
    """Register Settle's search attributes in the client's namespace. Existing ones are kept. Idempotent."""
    request = AddSearchAttributesRequest(
        namespace=client.namespace,
        search_attributes={key.name: IndexedValueType.ValueType(int(key.indexed_value_type)) for key in ALL_KEYS},
    )
    try:
        await client.operator_service.add_search_attributes(
            request, timeout=timedelta(seconds=limits.TEMPORAL_RPC_TIMEOUT_S)
        )
    except RPCError as error:
        if error.status != RPCStatusCode.ALREADY_EXISTS:
            raise
