"""Batch rows on PostgreSQL: reading and locking them."""

from database.pools import Connection, Row
from database.queries import load_query
from domain.errors import BatchNotFoundError
from schemas.batches import Batch
from schemas.next_steps import NextStep, NextStepKind
from schemas.wire.batches import RerunSelection

_FETCH_BATCH = load_query("settlement_store.postgres", "fetch_batch")
_LOCK_BATCH = load_query("settlement_store.postgres", "lock_batch")


def batch_of(row: Row) -> Batch:
    """Return the batch in a row of `fetch_batch`."""
    fields = dict(row)
    rerun = (
        RerunSelection(
            batch_id=row["rerun_of"],
            outcomes=row["rerun_outcomes"].split(","),
            reason_code=row["rerun_reason_code"],
        )
        if row["rerun_of"]
        else None
    )
    return Batch.model_validate({**fields, "window": fields["window_size"], "rerun": rerun})


def batch_not_found(batch_id: str) -> BatchNotFoundError:
    """Return the error for an id that no batch has."""
    return BatchNotFoundError(f"There is no batch {batch_id}.", NextStep(kind=NextStepKind.LIST_BATCHES))


async def fetch_batch_row(connection: Connection, batch_id: str) -> Row:
    """Read a batch's row.

    Raises:
        BatchNotFoundError: no batch has this id.
    """
    return await _fetch_one(connection, _FETCH_BATCH, batch_id)


async def fetch_batch_no(connection: Connection, batch_id: str) -> int:
    """Read a batch's number, its key in all tables.

    Raises:
        BatchNotFoundError: no batch has this id.
    """
    return int((await fetch_batch_row(connection, batch_id))["batch_no"])


async def lock_batch(connection: Connection, batch_id: str) -> Row:
    """Lock a batch's row until the transaction ends, and return it.

    Raises:
        BatchNotFoundError: no batch has this id.
    """
    return await _fetch_one(connection, _LOCK_BATCH, batch_id)


async def _fetch_one(connection: Connection, query: str, batch_id: str) -> Row:
    row = await connection.fetchrow(query, batch_id)
    if row is None:
        raise batch_not_found(batch_id)
    return row
